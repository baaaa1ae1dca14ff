"""Edge as its operator runs it: processes, a real nats-server, signals, memory."""

import asyncio
import resource
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from config_publisher import KvConfigPublisher
from dialog import Dialog
from edge_process import EdgeProcess, get, send, until
from edge_world import OtherTiers
from servers import NatsServer
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config.kv import PREFIX
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.config import DIRECTORY_KEY, EDGE_KEY, DirectoryChange, EdgeConfig
from tripost_shared.contracts.domains import ResolveQuestion
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.spool.jetstream import JetStreamSpoolReader

MIB = 1 << 20


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
    assert tiers.questions(ResolveQuestion)[-1].directory_revision == 1
    await publisher.put(EDGE_KEY, EdgeConfig(revision=2))


async def test_the_first_question_already_carries_the_directorys_revision(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    """Domains may not have heard of the change that is stored."""
    await KvConfigPublisher(link).put(DIRECTORY_KEY, DirectoryChange(revision=5))
    edge = await edge_process().until_ready()
    await send(edge, b"x\r\n")
    assert [question.directory_revision for question in tiers.questions(ResolveQuestion)] == [5]


@pytest.mark.usefixtures("tiers")
async def test_configuration_that_cannot_be_read_is_told_in_the_status(
    edge_process: Callable[..., EdgeProcess], link: NatsLink
) -> None:
    edge = await edge_process().until_ready()
    await jetstream.publish(link, PREFIX + EDGE_KEY, b"{")

    async def troubles() -> list[str]:
        nodes = await NatsBus(link).gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=1))
        return [trouble for node in nodes for trouble in node.troubles]

    async with asyncio.timeout(10):
        while await troubles() != ["configuration cannot be read, the last one stays in force: edge"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await send(edge, b"x\r\n")).startswith("250 ")
    await KvConfigPublisher(link).put(EDGE_KEY, EdgeConfig(revision=4))


async def test_nobody_is_served_before_the_configuration_is_known(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    await jetstream.publish(link, PREFIX + EDGE_KEY, b"{")
    edge = edge_process()
    await until(lambda: '"waiting for configuration"' in edge.said(), edge.said)
    assert '"key":"edge"' in edge.said()
    assert (await get(edge.health, "/readyz"))[0] == 503
    with pytest.raises(ConnectionRefusedError):
        await Dialog.open(edge.mx)
    await KvConfigPublisher(link).put(EDGE_KEY, EdgeConfig(revision=3))
    await edge.until_ready()
    assert (await send(edge, b"x\r\n")).startswith("250 ")


async def test_all_file_descriptors_that_the_system_grants_are_used(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard - 1), hard))
    try:
        edge = edge_process()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await edge.until_ready()
    (line,) = [line for line in proc(edge.pid, "limits").splitlines() if line.startswith("Max open files")]
    assert line.split()[3:5] == [str(hard), str(hard)]


async def test_health_tells_whether_it_serves(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process().until_ready()
    await send(edge, b"x\r\n")
    assert await get(edge.health, "/readyz") == (200, b"ready\n")
    _, page = await get(edge.health, "/metrics")
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


def proc(pid: int, file: str) -> str:
    """Give what the system says of a process."""
    return Path(f"/proc/{pid}/{file}").read_text()


def memory(pid: int, field: str) -> int:
    """Give a size in octets from the process' status."""
    for line in proc(pid, "status").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)
