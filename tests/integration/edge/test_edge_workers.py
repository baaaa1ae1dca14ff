"""Edge with several workers: one first process, which holds their sockets and starts them again."""

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from contents import read_all
from dialog import Dialog
from edge_process import UP_TO_DATA, EdgeProcess, get, is_running, send, until
from edge_world import OtherTiers
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus
from tripost_shared.mail.content import Content

TWO_WORKERS = {"TRIPOST_EDGE_WORKERS": "2"}
IMPATIENT = """
from datetime import timedelta
from tripost_edge import worker_beats
worker_beats.BEAT_SECONDS = 0.01
worker_beats.PATIENCE = worker_beats.Patience(timedelta(seconds=0.25), looks=4)
"""


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
    assert not is_running(second)


async def test_what_workers_store_is_each_messages_own_also_that_of_one_started_anew(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process(TRIPOST_EDGE_INLINE_OCTETS="0", **TWO_WORKERS).until_ready(2)
    contents = [b"Subject: %d\r\n\r\n" % number + b"%d\r\n" % number * 100 * number for number in range(1, 25)]
    replies = [await send(edge, content) for content in contents[:12]]
    os.kill(edge.children()[0], signal.SIGKILL)
    await edge.until_ready(3)
    replies += [await send(edge, content) for content in contents[12:]]
    assert {reply[:4] for reply in replies} == {"250 "}
    store = ObjectContentStore(link)
    stored = [await read_all(store, Content(each.size_octets, stored=each.name)) for each in await store.list()]
    assert sorted(stored, key=len) == contents
    assert edge.stop() == 0


async def test_a_worker_that_hangs_is_killed_and_started_again_and_the_others_left_alone(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process(prelude=IMPATIENT, **TWO_WORKERS).until_ready(2)
    first, second = edge.children()
    os.kill(first, signal.SIGSTOP)
    await edge.until_ready(3)
    assert '"worker hung, so it was killed"' in edge.said()
    assert first not in edge.children()
    assert second in edge.children()
    for _ in range(6):
        assert (await send(edge, b"x\r\n")).startswith("250 ")
    assert edge.stop() == 0


async def test_workers_end_with_the_first_process(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = edge_process(**TWO_WORKERS)
    await edge.until_ready(2)
    children = edge.children()
    edge.kill()
    await until(lambda: not any(is_running(pid) for pid in children), edge.said)


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
        assert any(map(is_running, former)), "the test was too slow to show anything"
        for _ in range(6):
            assert (await send(edge, b"x\r\n")).startswith("250 ")
        assert any(map(is_running, former)), "the test was too slow to show anything"
    await until(lambda: not any(map(is_running, former)), edge.said)
    for address in (edge.health, edge.health_of_second):
        assert await get(address, "/readyz") == (200, b"ready\n")
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
    (status,) = await NatsBus(link).gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=0.5))
    (trouble,) = status.troubles
    assert trouble.startswith("worker 0 is away: it has died ")
    _renamed(away, password_file.name)
    await edge.until_ready(3)
    statuses = await NatsBus(link).gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=0.5))
    assert [status.troubles for status in statuses] == [(), ()]
    assert edge.stop() == 0


def _renamed(file: Path, name: str) -> Path:
    return file.rename(file.with_name(name))
