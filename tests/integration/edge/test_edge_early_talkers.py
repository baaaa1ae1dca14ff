"""Clients that talk before they are greeted, through real sockets of listeners for mail from other servers."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from dialog import Dialog
from edge_process import EdgeProcess
from edge_world import EdgeWorld, FrozenClock, OtherTiers
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.bans import BansPolicy, BanTrigger
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.events import Fact

Start = Callable[..., Awaitable[EdgeWorld]]
HEADER = b"PROXY TCP4 192.0.2.55 192.0.2.1 40000 25\r\n"
REFUSED = "S: 554 5.5.1 You talked before you were greeted, closing (*)\nS: <closed>"
LONG = 30  # seconds, which no test waits for
SHORT = 0.05


async def proxied(world: EdgeWorld, first: bytes = b"") -> Dialog:
    """Connect as 192.0.2.55; `first` is what the client says behind the header."""
    client = await world.dialog("proxy")
    client.send(HEADER + first)
    return client


@pytest.mark.parametrize(
    "octets", [b"EHLO c\r\n", b"\r\n", b"M", b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\n"]
)
async def test_who_talks_first_is_refused(running: Start, octets: bytes) -> None:
    world = await running(greeting_delay_seconds=LONG)
    async with await world.dialog() as client:
        client.send(octets)
        await client(REFUSED)
    async with await proxied(world, octets) as client:
        await client(REFUSED)
    assert {fact.reply[:9] for fact in world.facts(Fact.REFUSED)} == {"554 5.5.1"}
    assert world.spooled == []


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x75\x01"], ids=["HTTP", "TLS"])
async def test_who_speaks_another_protocol_is_cut_off_without_a_word(running: Start, octets: bytes) -> None:
    world = await running(greeting_delay_seconds=LONG)
    async with await world.dialog() as client:
        client.send(octets)
        await client("S: <closed>")


async def test_who_waits_is_greeted_and_the_next_time_at_once(running: Start) -> None:
    clock = FrozenClock()
    world = await running(clock=clock, greeting_delay_seconds=SHORT)
    began = time.monotonic()
    async with await proxied(world) as client:
        await client("S: 220 *")
    assert time.monotonic() - began >= SHORT
    world.edge.take_config(EdgeConfig(revision=1, limits={"greeting_delay_seconds": LONG}))
    async with await proxied(world) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *")
    async with await proxied(world, b"EHLO c\r\n") as client:
        await client(REFUSED)
    clock.advance(timedelta(days=1))
    async with await proxied(world) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT):
                await client.read_line()


async def test_other_clients_do_not_wait(running: Start, client_tls: ssl.SSLContext) -> None:
    """Who may relay, who submits, who speaks TLS first, and a proxy that names nobody."""
    world = await running(greeting_delay_seconds=LONG)
    world.edge.take_config(EdgeConfig(revision=1, relay_networks=("192.0.2.55",)))
    async with await proxied(world, b"NOOP\r\n") as client:
        await client("S: 220 *\nS: 250 *")
    async with await world.dialog("submission") as client:
        await client("S: 220 *")
    async with await world.dialog("submissions", tls=client_tls, implicit_tls=True) as client:
        await client("S: 220 *")
    async with await world.dialog("proxy") as client:
        client.send(b"PROXY UNKNOWN\r\n")
        await client("S: 220 *")


async def test_a_client_that_goes_away_while_it_waits_leaves_nothing(running: Start) -> None:
    world = await running(greeting_delay_seconds=LONG)
    async with await world.dialog():
        await world.until_sessions(1)
    await world.until_sessions(0)
    async with await world.dialog() as client:
        await world.until_sessions(1)
        draining = asyncio.create_task(world.edge.drain())
        await client("S: 421 4.3.2 *\nS: <closed>")
        await draining


async def test_early_talkers_are_banned(running: Start) -> None:
    world = await running(greeting_delay_seconds=LONG)
    world.edge.take_config(EdgeConfig(revision=1, bans=BansPolicy(early_talkers=BanTrigger(2))))
    for _ in range(2):
        async with await proxied(world, b"EHLO c\r\n") as client:
            await client(REFUSED)
        await world.until_sessions(0)
    await world.edge.offences.settle()
    async with await proxied(world) as client:
        await client("S: 421 4.7.0 * because of talking before it was greeted, too often\nS: <closed>")


async def test_a_real_edge_hears_who_talks_first(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    edge = await edge_process(TRIPOST_EDGE_GREETING_DELAY_SECONDS="0.3").until_ready()
    async with await Dialog.open(edge.mx) as client:
        client.send(b"EHLO c\r\n")
        await client(REFUSED)
    async with await Dialog.open(edge.mx) as client:
        await client("S: 220 *")
