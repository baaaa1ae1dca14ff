"""Edge as its operator runs it: processes, a real nats-server, signals, memory."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cluster import free_ports
from config_publisher import KvConfigPublisher
from dialog import Dialog
from edge_world import OtherTiers
from servers import NatsServer, free_port
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config.kv import PREFIX
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.config import DIRECTORY_KEY, EDGE_KEY, DirectoryChange, EdgeConfig
from tripost_shared.contracts.domains import RecipientKind, ResolveQuestion
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.provision import provision
from tripost_shared.settings import CommonSettings
from tripost_shared.spool.jetstream import JetStreamSpoolReader
from tripost_shared.workers import PORTS_APART

MIB = 1 << 20
START_WITHIN_SECONDS = 20.0
TWO_WORKERS = {"TRIPOST_EDGE_WORKERS": "2"}
UP_TO_DATA = "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *"


class EdgeProcess:
    """`tripost-edge` with its own ports."""

    def __init__(self, nats: NatsServer, tls: tuple[Path, Path], folder: Path, **settings: str) -> None:
        self.mx = ("127.0.0.1", free_port())
        self.health = ("127.0.0.1", free_ports(1)[0])
        self.health_of_second = ("127.0.0.1", self.health[1] + PORTS_APART)
        self.log = folder / "edge.log"
        certificate, key = tls
        self.environment = {
            "PATH": os.environ["PATH"],
            "TRIPOST_HOME": str(folder),
            "TRIPOST_HOSTNAME": "mx.tripost.example",
            "TRIPOST_NATS_URL": nats.url,
            "TRIPOST_EDGE_MX_LISTEN": f"127.0.0.1:{self.mx[1]}",
            "TRIPOST_EDGE_SUBMISSION_LISTEN": "",
            "TRIPOST_EDGE_SUBMISSIONS_LISTEN": "",
            "TRIPOST_EDGE_HEALTH_LISTEN": f"127.0.0.1:{self.health[1]}",
            "TRIPOST_EDGE_CERTIFICATE": str(certificate),
            "TRIPOST_EDGE_KEY": str(key),
            "TRIPOST_RUN_USER": "nobody",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "EdgeProcess":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from tripost_edge.app import main; main()"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        return self

    async def until_ready(self, times: int = 1) -> "EdgeProcess":
        """Wait until a service, or a worker, has said so that often."""
        await until(lambda: self.log.read_bytes().count(b'"service ready"') == times, self.said)
        return self

    def said(self) -> str:
        return self.log.read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(25)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)


async def until(condition: Callable[[], bool], because: Callable[[], str] = str) -> None:
    """Wait until the condition holds; fails with `because` after a while."""
    deadline = time.monotonic() + START_WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < deadline, because()
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def link(nats: NatsServer) -> AsyncIterator[NatsLink]:
    settings = CommonSettings(nats_url=nats.url)
    link = await NatsLink.connect(settings, "test")
    assert await link.wait_connected(10)
    await provision(link, settings)
    yield link
    await link.close()


@pytest.fixture
async def tiers(link: NatsLink) -> AsyncIterator[OtherTiers]:
    tiers = OtherTiers(kinds={"ann@dest.example": RecipientKind.LOCAL, "far@else.example": RecipientKind.FOREIGN})
    bus = NatsBus(link)
    await tiers.serve(bus)
    yield tiers
    await bus.drain()


@pytest.fixture
def edge_process(
    nats: NatsServer, tls_files: tuple[Path, Path], tmp_path: Path
) -> Iterator[Callable[..., EdgeProcess]]:
    """Start edges; what still runs at the end is killed."""
    started: list[EdgeProcess] = []
    for path in tls_files:
        path.chmod(0o644)

    def start(**settings: str) -> EdgeProcess:
        started.append(EdgeProcess(nats, tls_files, tmp_path, **settings).start())
        return started[-1]

    yield start
    for process in started:
        process.kill()


async def spooled(link: NatsLink) -> dict[str, SpooledMessage]:
    """Take all that is in the spool, by the reply that it was accepted with."""
    reader = JetStreamSpoolReader(link, 4)
    messages: dict[str, SpooledMessage] = {}
    while taken := await reader.fetch(100, timedelta(seconds=0.5)):
        for delivery in taken:
            messages[f"250 2.0.0 Accepted as {delivery.message.id}"] = delivery.message
            await delivery.done()
    await reader.close()
    return messages


async def send(edge: EdgeProcess, content: bytes) -> str:
    """Send a message to ann; gives the reply to its content."""
    async with await Dialog.open(edge.mx) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\n" + UP_TO_DATA)
        for start in range(0, len(content), 65536):
            client.send(content[start : start + 65536])
            await client.writer.drain()
        client.send(b".\r\n")
        return await client.read_reply()


async def test_a_message_passes_through_the_real_adapters(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process().until_ready()
    reply = await send(edge, b"Subject: small\r\n\r\nHello\r\n")
    message = (await spooled(link))[reply]
    assert message.content.inline == b"Subject: small\r\n\r\nHello\r\n"
    assert edge.stop() == 0


async def test_a_message_of_50_mb_grows_a_worker_by_less_than_8_mb(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process().until_ready()
    await send(edge, b"Subject: first\r\n\r\n" + b"warm\r\n" * 50_000)
    before = memory(edge.pid, "VmRSS")
    content = b"Subject: large\r\n\r\n" + (b"." + b"0123456789abcdef" * 4 + b"\r\n") * (50 * MIB // 67)
    reply = await send(edge, content)
    grown = memory(edge.pid, "VmHWM") - before
    assert reply.startswith("250 2.0.0 ")
    assert grown < 8 * MIB, f"grown by {grown / MIB:.1f} MiB"
    message = (await spooled(link))[reply]
    size = 0
    async for chunk in ObjectContentStore(link).open(message.content):
        size += len(chunk)
    assert size == message.content.size_octets == len(content) - 50 * MIB // 67  # one dot of each line is stuffing


async def test_configuration_is_live_without_a_restart(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process(TRIPOST_EDGE_DIRECTORY_MEMORY_SECONDS="3600").until_ready()
    publisher = KvConfigPublisher(link)
    await send(edge, b"x\r\n")
    await send(edge, b"x\r\n")
    assert len(tiers.questions(ResolveQuestion)) == 1
    await publisher.put(DIRECTORY_KEY, DirectoryChange(revision=1))
    await publisher.put(EDGE_KEY, EdgeConfig(revision=1, relay_networks=("127.0.0.0/8",)))
    deadline = time.monotonic() + 5
    reply = ""
    while not reply.startswith("250") and time.monotonic() < deadline:
        async with await Dialog.open(edge.mx) as client:
            await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<far@else.example>")
            reply = await client.read_reply()
    assert reply.startswith("250 2.1.5 ")
    asked = len(tiers.questions(ResolveQuestion))
    await send(edge, b"x\r\n")
    assert len(tiers.questions(ResolveQuestion)) == asked + 1
    await publisher.put(EDGE_KEY, EdgeConfig(revision=2))


async def test_nobody_is_served_before_the_configuration_is_known(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    await jetstream.publish(link, PREFIX + EDGE_KEY, b"{")
    edge = edge_process()
    await until(lambda: '"waiting for configuration"' in edge.said(), edge.said)
    assert '"key":"edge"' in edge.said()
    assert (await _get(edge.health, "/readyz"))[0] == 503
    with pytest.raises(ConnectionRefusedError):
        await Dialog.open(edge.mx)
    await KvConfigPublisher(link).put(EDGE_KEY, EdgeConfig(revision=3))
    await edge.until_ready()
    assert (await send(edge, b"x\r\n")).startswith("250 ")


async def test_workers_share_the_listener_and_are_started_again(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = edge_process(**TWO_WORKERS)
    await edge.until_ready(2)
    first, second = edge.children()
    for _ in range(6):
        assert (await send(edge, b"x\r\n")).startswith("250 ")
    os.kill(first, signal.SIGKILL)
    await edge.until_ready(3)
    assert len(edge.children()) == 2
    assert first not in edge.children()
    for _ in range(6):
        assert (await send(edge, b"x\r\n")).startswith("250 ")
    assert edge.stop() == 0
    assert not _is_running(second)


async def test_workers_end_with_the_first_process(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = edge_process(**TWO_WORKERS)
    await edge.until_ready(2)
    children = edge.children()
    edge.kill()
    await until(lambda: not any(_is_running(pid) for pid in children), edge.said)


async def test_a_new_first_process_serves_at_once_while_a_worker_of_a_killed_one_is_at_its_last_transaction(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process(**TWO_WORKERS).until_ready(2)
    former = edge.children()
    async with await Dialog.open(edge.mx) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *")
        edge.kill()
        await until(lambda: edge.said().count('"service draining"') == 2, edge.said)
        for address in (edge.mx, edge.health, edge.health_of_second):
            socket.create_server(address).close()  # as the embedded cluster looks whether they are free
        await edge.start().until_ready(4)
        assert any(map(_is_running, former)), "the test was too slow to show anything"
        for _ in range(6):
            assert (await send(edge, b"x\r\n")).startswith("250 ")
        assert any(map(_is_running, former)), "the test was too slow to show anything"
    await until(lambda: not any(map(_is_running, former)), edge.said)
    for address in (edge.health, edge.health_of_second):
        assert await _get(address, "/readyz") == (200, b"ready\n")
    assert edge.stop() == 0


async def test_while_workers_finish_nobody_new_waits_in_vain(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process(**TWO_WORKERS).until_ready(2)
    async with await Dialog.open(edge.mx) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *")
        os.kill(edge.pid, signal.SIGTERM)
        await until(lambda: edge.said().count('"service draining"') == 2, edge.said)
        with pytest.raises(ConnectionRefusedError):
            await Dialog.open(edge.mx)
        await client(UP_TO_DATA.replace("C: MAIL FROM:<>\n", "").replace("S: 250 *\n", "", 1))
        client.send(b"x\r\n.\r\n")
        assert (await client.read_reply()).startswith("250 ")
    assert edge.stop() == 0


async def test_workers_that_do_not_take_their_settings_end_all_with_code_2(
    edge_process: Callable[..., EdgeProcess], link: NatsLink
) -> None:
    edge = edge_process(TRIPOST_NATS_PASSWORD_FILE="/nowhere", **TWO_WORKERS)
    assert edge.process is not None
    assert edge.process.wait(20) == 2
    assert "tripost edge: TRIPOST_NATS_PASSWORD_FILE: No such file or directory: /nowhere" in edge.said()


@pytest.fixture
def password_file() -> Iterator[Path]:
    """A file that edge can read whoever it runs as, which is so nowhere in pytest's own folders."""
    with tempfile.TemporaryDirectory(prefix="tripost-") as name:
        path = Path(name) / "password"
        path.parent.chmod(0o755)
        path.write_text("any\n")
        yield path


async def test_a_worker_that_does_not_take_what_it_took_before_is_started_again(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers, password_file: Path
) -> None:
    edge = await edge_process(TRIPOST_NATS_PASSWORD_FILE=str(password_file), **TWO_WORKERS).until_ready(2)
    away = _renamed(password_file, "away")
    first, second = edge.children()
    os.kill(first, signal.SIGKILL)
    await until(lambda: '"exit_code":2' in edge.said(), edge.said)
    assert second in edge.children()
    _renamed(away, password_file.name)
    await edge.until_ready(3)
    assert edge.stop() == 0


async def test_health_tells_whether_it_serves(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process().until_ready()
    await send(edge, b"x\r\n")
    assert await _get(edge.health, "/readyz") == (200, b"ready\n")
    _, page = await _get(edge.health, "/metrics")
    assert b'tripost_edge_messages_total{outcome="accepted"} 1.0' in page


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"TRIPOST_EDGE_MX_LISTEN": "25"}, ["TRIPOST_EDGE_MX_LISTEN", "address:port"], id="no address"),
        pytest.param({"TRIPOST_EDGE_KEY": "/nowhere"}, ["TRIPOST_EDGE_KEY", "no file /nowhere"], id="no key"),
        pytest.param(
            {"TRIPOST_EDGE_PROXY_TRUSTED_NETWORKS": "here"}, ["TRIPOST_EDGE_PROXY_TRUSTED_NETWORKS", "CIDR"], id="CIDR"
        ),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(
    nats: NatsServer, tls_files: tuple[Path, Path], tmp_path: Path, settings: dict[str, str], words: list[str]
) -> None:
    edge = EdgeProcess(nats, tls_files, tmp_path, **settings).start()
    assert edge.process is not None
    assert edge.process.wait(20) == 2
    (line,) = edge.said().splitlines()
    assert all(word in line for word in words), line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_named_with_its_setting(
    nats: NatsServer, tls_files: tuple[Path, Path], tmp_path: Path, workers: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        edge = EdgeProcess(
            nats, tls_files, tmp_path, TRIPOST_EDGE_MX_LISTEN=address, TRIPOST_EDGE_WORKERS=workers
        ).start()
        assert edge.process is not None
        assert edge.process.wait(20) == 2
    (line,) = edge.said().splitlines()
    assert f"TRIPOST_EDGE_MX_LISTEN: {address}: already in use" in line


def memory(pid: int, field: str) -> int:
    """Give a size in octets from the process' status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def _renamed(file: Path, name: str) -> Path:
    return file.rename(file.with_name(name))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


async def _get(address: tuple[str, int], path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body
