"""Listeners that all workers of an edge share: whatever the first process still holds, clients meet who serves them."""

import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from config_publisher import KvConfigPublisher
from dialog import Dialog
from edge_process import EdgeProcess, send, until
from edge_world import OtherTiers
from servers import free_port
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.listeners import LISTENERS_KEY, ListenerConfig, ListenersConfig

WORKERS = 2


@pytest.fixture
async def publish(link: NatsLink) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Configure listeners as admin-api does; none are left at the end."""
    publisher = KvConfigPublisher(link)
    revisions: Iterator[int] = iter(range(1, 100))

    async def put(*listeners: ListenerConfig) -> None:
        await publisher.put(LISTENERS_KEY, ListenersConfig(next(revisions), listeners))

    yield put
    await put()


async def test_a_built_in_listener_is_closed_and_opened_by_all_workers_and_one_that_is_started_anew(
    edge_process: Callable[..., EdgeProcess], tiers: OtherTiers, publish: Callable[..., Awaitable[None]]
) -> None:
    edge = await edge_process(TRIPOST_EDGE_WORKERS=str(WORKERS)).until_ready(WORKERS)
    extra = free_port()
    async with await Dialog.open(edge.mx) as client:
        await client("S: 220 *")
        await publish(ListenerConfig("mx", enabled=False), ListenerConfig("x", address=f"127.0.0.1:{extra}"))
        await until(lambda: edge.said().count('"listener closed"') == WORKERS, edge.said)
        assert_refused(edge.mx)
        await client("C: EHLO c\nS: 250 *")
    os.kill(edge.children()[0], signal.SIGKILL)
    await edge.until_ready(WORKERS + 1)
    assert_refused(edge.mx)
    for _ in range(6):
        async with await Dialog.open(("127.0.0.1", extra)) as client:
            await client("S: 220 *")
    listening = f'"address":"127.0.0.1:{edge.mx[1]}","event":"listening"'
    await publish()
    await until(lambda: edge.said().count(listening) == 4, edge.said)
    for _ in range(6):
        assert (await send(edge, b"x\r\n")).startswith("250 ")
    assert edge.stop() == 0


def assert_refused(address: tuple[str, int]) -> None:
    """Nobody waits in vain: each of several connections is refused at once."""
    for _ in range(6):
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(address)
