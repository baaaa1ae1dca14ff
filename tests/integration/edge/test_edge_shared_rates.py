"""A rate holds over two edge processes that share a real nats-server."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from config_publisher import KvConfigPublisher
from dialog import Dialog
from edge_process import EdgeProcess
from edge_world import OtherTiers
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import SystemClock
from tripost_shared.contracts.control import CONTROL_KEY, Amounts, ControlConfig, Rate, RateOverride, RateScope
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.counters.jetstream import JetStreamCounters
from tripost_shared.counters.port import CLIENTS
from tripost_shared.spool.events import JetStreamEventReader

MOST = 100
RATE = Rate("all", RateScope.CLIENT, Amounts(day=MOST), overrides=(RateOverride("127.0.0.0/8"),))
COUNT = ("rate-messages", "all|client:127.0.0.1", 86_400, CLIENTS)


async def accepted(edge: EdgeProcess, attempts: int) -> int:
    """Send messages; gives how many were taken."""
    taken = 0
    async with await Dialog.open(edge.mx) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *")
        for _ in range(attempts):
            client.send(b"MAIL FROM:<>\r\n")
            if (await client.read_reply()).startswith("451 4.7.1 Too many messages: 100 in a day"):
                continue
            await client("C: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 354 *\nC: .\nS: 250 *")
            taken += 1
    return taken


async def facts(link: NatsLink) -> list[Event]:
    """Take all facts that there are."""
    reader = JetStreamEventReader(link)
    found: list[Event] = []
    while batches := await reader.fetch(100, timedelta(seconds=0.5)):
        for batch in batches:
            found += batch.events
            await batch.done()
    await reader.close()
    return found


async def test_a_limit_is_one_over_two_processes_and_is_warned_of_once(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edges = [edge_process() for _ in range(2)]
    for edge in edges:
        await edge.until_ready()
    await KvConfigPublisher(link).put(CONTROL_KEY, ControlConfig(1, rates=(RATE,)))
    counters = JetStreamCounters(link, SystemClock())
    async with asyncio.timeout(5):
        for edge in edges:  # until both have heard of it
            before = await counters.read(*COUNT)
            while await counters.read(*COUNT) == before:
                await accepted(edge, 1)
    already = await counters.read(*COUNT)
    taken = await asyncio.gather(*(accepted(edge, 35) for edge in edges for _ in range(2)))
    assert 0.95 * MOST <= already + sum(taken) <= 1.05 * MOST
    assert all(taken)
    for edge in edges:
        edge.stop()
    assert len([fact for fact in await facts(link) if fact.fact is Fact.LIMIT_WARNED]) == 1
