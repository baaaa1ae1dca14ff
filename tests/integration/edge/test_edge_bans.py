"""Bans, through real sockets: at connect, in sessions that are open, over two edges, and who is never banned."""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from structlog.testing import capture_logs

from config_publisher import KvConfigPublisher
from dialog import Dialog
from edge_process import EdgeProcess
from edge_world import EdgeWorld, FrozenClock, OtherTiers
from tripost_shared.bans.kv import KvBans
from tripost_shared.bans.memory import MemoryBans
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import SystemClock
from tripost_shared.contracts.access import AccessAction, AccessConfig, AccessRule
from tripost_shared.contracts.bans import Ban, BansPolicy, BanTrigger
from tripost_shared.contracts.config import EDGE_KEY, EdgeConfig
from tripost_shared.contracts.events import Fact
from tripost_shared.mail.client import ListenerKind

Start = Callable[..., Awaitable[EdgeWorld]]
PROXIED = b"PROXY TCP4 192.0.2.55 192.0.2.1 40000 25\r\n"
HOUR = timedelta(hours=1)


def a_ban(network: str, now: datetime, by: str = "ann") -> Ban:
    return Ban(network, "abuse", now, now + HOUR, by)


async def proxied(world: EdgeWorld) -> Dialog:
    """Connect as 192.0.2.55."""
    client = await world.dialog("proxy")
    client.send(PROXIED)
    return client


async def test_a_banned_client_hears_until_when_and_why_at_connect_and_at_its_next_command(running: Start) -> None:
    clock = FrozenClock(datetime(2026, 1, 1, 11, 30, tzinfo=UTC))
    world = await running(clock=clock)
    async with await proxied(world) as open_before:
        await open_before("S: 220 *\nC: EHLO c\nS: 250 *")
        ban = a_ban("192.0.2.0/24", clock.now())
        await world.bans.put(ban, ban.until)
        said = "421 4.7.0 192.0.2.55 is banned until 2026-01-01 12:30:00 UTC because of abuse"
        await open_before(f"C: MAIL FROM:<>\nS: {said}\nS: <closed>")
    async with await proxied(world) as client:
        await client(f"S: {said}\nS: <closed>")
    assert [fact.stage for fact in world.facts(Fact.REFUSED)] == ["connect", "connect"]
    clock.advance(HOUR)
    async with await proxied(world) as client:
        await client("S: 220 *")


async def test_a_ban_lets_the_message_under_way_come_to_its_end(running: Start) -> None:
    world = await running()
    async with await proxied(world) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA")
        await client("S: 250 *\nS: 250 *\nS: 354 *")
        await world.bans.put(a_ban("192.0.2.55", datetime.now(UTC)), datetime.now(UTC) + HOUR)
        client.send(b"x\r\n.\r\n")
        await client("S: 250 2.0.0 *\nC: MAIL FROM:<>\nS: 421 4.7.0 *\nS: <closed>")
    assert len(world.spooled) == 1


async def test_a_banned_client_that_comes_again_and_again_fills_neither_log_nor_tracking(running: Start) -> None:
    world = await running(refusals_told_per_network=2)
    ban = a_ban("192.0.2.55", datetime.now(UTC))
    await world.bans.put(ban, ban.until)
    with capture_logs() as logs:
        for _ in range(6):
            async with await proxied(world) as client:
                await client("S: 421 4.7.0 *\nS: <closed>")
        await world.until_sessions(0)
    assert len([line for line in logs if line["log_level"] != "debug"]) == 2
    assert len(world.facts(Fact.REFUSED)) == 2


async def test_a_lifted_ban_holds_no_more(running: Start) -> None:
    world = await running()
    ban = a_ban("192.0.2.55", datetime.now(UTC))
    await world.bans.put(ban, ban.until)
    async with await proxied(world) as client:
        await client("S: 421 4.7.0 *\nS: <closed>")
    await world.bans.put(ban.lifted_at(datetime.now(UTC)), ban.until)
    async with await proxied(world) as client:
        await client("S: 220 *")


async def test_loopback_relay_networks_and_proxies_are_never_banned(running: Start) -> None:
    world = await running()
    now = datetime.now(UTC)
    for network in ("127.0.0.0/8", "192.0.2.0/24"):
        await world.bans.put(a_ban(network, now), now + HOUR)
    for listener in ("mx", "submission"):
        async with await world.greeted(listener):
            pass
    world.edge.take_config(EdgeConfig(revision=1, relay_networks=("192.0.2.55",)))
    async with await proxied(world) as client:
        await client("S: 220 *")
    async with await world.dialog("proxy") as client:
        client.send(b"PROXY UNKNOWN\r\n")  # the proxy's own health check
        await client("S: 220 *")


async def test_all_is_read_at_start_and_what_was_missed_later(running: Start) -> None:
    bans = MemoryBans(SystemClock())
    ban = a_ban("192.0.2.55", datetime.now(UTC))
    await bans.put(ban, ban.until)
    world = await running(bans=bans)
    async with await proxied(world) as client:
        await client("S: 421 4.7.0 *\nS: <closed>")
    bans.is_deaf = True
    other = a_ban("192.0.2.56", datetime.now(UTC))
    await bans.put(other, other.until)
    assert world.edge.bans.table.entry("192.0.2.56") is None
    bans.lose()
    async with asyncio.timeout(5):
        while world.edge.bans.table.entry("192.0.2.56") != other:  # noqa: ASYNC110 (nothing tells when)
            await asyncio.sleep(0.005)


async def test_bans_that_cannot_be_read_are_a_trouble_once_it_lasts(running: Start) -> None:
    clock = FrozenClock()
    bans = MemoryBans(clock)
    bans.is_unavailable = True
    world = await running(clock=clock, bans=bans)
    assert list(world.edge.troubles()) == []
    clock.advance(timedelta(minutes=1))
    assert list(world.edge.troubles()) == ["bans cannot be read: told to be unavailable"]


def a_policy(**triggers: BanTrigger) -> EdgeConfig:
    """Ban nobody by itself but for these."""
    off = BanTrigger(1, enabled=False)
    all_off = BansPolicy(authentication=off, protocol=off, unknown_recipients=off, early_talkers=off)
    return EdgeConfig(revision=1, bans=msgspec.structs.replace(all_off, **triggers))


async def until_banned(world: EdgeWorld, because: str) -> None:
    """Wait until the next client hears of the ban, and why."""
    await world.edge.offences.settle()
    async with await proxied(world) as client:
        await client(f"S: 421 4.7.0 192.0.2.55 is banned until * UTC because of {because}\nS: <closed>")


async def test_a_sweep_for_recipients_is_banned_in_the_session_that_sweeps(running: Start) -> None:
    world = await running()
    world.edge.take_config(a_policy(unknown_recipients=BanTrigger(3)))
    async with await proxied(world) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<a@sender.example>\nS: 250 *")
        for _ in range(3):
            await client("C: RCPT TO:<nobody@dest.example>\nS: 550 5.1.1 *")
        await world.edge.offences.settle()
        await client("C: NOOP\nS: 421 4.7.0 * is banned *\nS: <closed>")
    await until_banned(world, "too many recipients that do not exist")


async def test_bounces_to_what_others_have_invented_and_a_few_misspelt_names_are_no_sweep(running: Start) -> None:
    world = await running()
    world.edge.take_config(a_policy(unknown_recipients=BanTrigger(2)))
    async with await proxied(world) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *")
        for _ in range(3):
            await client("C: RCPT TO:<nobody@dest.example>\nS: 550 5.1.1 *")
        await client("C: RSET\nS: 250 *\nC: MAIL FROM:<a@sender.example>\nS: 250 *")
        await client(
            "C: RCPT TO:<ann@dest.example>\nC: RCPT TO:<bob@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *"
        )
        await client("C: x: y\nC: .\nS: 250 *\nC: MAIL FROM:<a@sender.example>\nS: 250 *")
    async with await proxied(world) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<a@sender.example>\nS: 250 *")
        await client("C: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 354 *\nC: x: y\nC: .\nS: 250 *")
        await client("C: MAIL FROM:<a@sender.example>\nS: 250 *\nC: RCPT TO:<nobody@dest.example>\nS: 550 5.1.1 *")
        await world.edge.offences.settle()
        await client("C: NOOP\nS: 250 *")


async def test_who_is_allowed_for_what_anybody_can_say_is_banned_as_others_are(running: Start) -> None:
    world = await running()
    world.edge.take_config(a_policy(unknown_recipients=BanTrigger(2)))
    for condition, reply in (({"networks": ("192.0.2.55",)}, "250"), ({"helo": ("c",)}, "421")):
        world.edge.take_access(AccessConfig(1, (AccessRule("friends", AccessAction.ALLOW, **condition),)))
        async with await proxied(world) as client:
            await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<a@sender.example>\nS: 250 *")
            for _ in range(2):
                await client("C: RCPT TO:<nobody@dest.example>\nS: 550 5.1.1 *")
            await world.edge.offences.settle()
            await client(f"C: NOOP\nS: {reply} *")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00", id="TLS where none is expected"),
        pytest.param(b"EHLO c\r\nSTARTTLS\r\nNOOP\r\n", id="octets behind STARTTLS"),
        pytest.param(b"FOO\r\n" * 3, id="too many errors"),
    ],
)
async def test_who_does_not_keep_to_the_protocol_is_banned(running: Start, octets: bytes) -> None:
    world = await running(errors_per_session=2, error_delay_seconds=0)
    world.edge.take_config(a_policy(protocol=BanTrigger(2)))
    for _ in range(2):
        async with await proxied(world) as client:
            await client("S: 220 *")
            client.send(octets)
            await client.read_to_end()
        await world.until_sessions(0)
    await until_banned(world, "too many sessions that were ended for errors")


async def test_failed_authentications_of_any_sessions_are_banned_but_not_one_guess_again_and_again(
    running: Start, client_tls: ssl.SSLContext
) -> None:
    world = await running()
    world.edge.take_config(a_policy(authentication=BanTrigger(3)))
    submission = await world.listen_for_proxies("proxied-submission", ListenerKind.SUBMISSION)

    async def guess(number: int) -> None:
        async with await Dialog.open(submission, tls=client_tls) as client:
            client.send(PROXIED)
            await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: STARTTLS\nS: 220 *\nC: EHLO c\nS: 250 *")
            response = base64.b64encode(b"\0user@dest.example\0%d" % number).decode()
            await client(f"C: AUTH PLAIN {response}\nS: 535 5.7.8 *")

    for number in (1, 1, 1, 1, 2):
        await guess(number)
    await world.edge.offences.settle()
    async with await proxied(world) as client:
        await client("S: 220 *")
    await guess(3)
    await until_banned(world, "too many failed authentications")


@pytest.fixture
def two_edges(edge_process: Callable[..., EdgeProcess]) -> list[EdgeProcess]:
    """Two replicas with a listener for proxies, whose clients may come from anywhere."""
    return [edge_process(proxy=True) for _ in range(2)]


async def test_a_ban_holds_on_two_replicas_within_a_second_in_sessions_that_are_open(
    two_edges: list[EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    clients = []
    for edge in two_edges:
        await edge.until_ready()
        clients.append(await Dialog.open(edge.proxy))
        clients[-1].send(PROXIED)
        await clients[-1]("S: 220 *\nC: EHLO c\nS: 250 *")
    bans = KvBans(link, SystemClock())
    ban = a_ban("192.0.2.55", datetime.now(UTC))
    began = asyncio.get_running_loop().time()
    await bans.put(ban, ban.until)
    for client in clients:
        while True:  # until the ban is known there
            client.send(b"NOOP\r\n")
            reply = await client.read_reply()
            if reply.startswith("421 4.7.0 192.0.2.55 is banned until"):
                break
            assert reply.startswith("250 ")
            await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - began < 1.0
    for edge in two_edges:
        async with await Dialog.open(edge.proxy) as client:
            client.send(PROXIED)
            await client("S: 421 4.7.0 *\nS: <closed>")
    await bans.put(ban.lifted_at(datetime.now(UTC)), ban.until)
    for edge in two_edges:
        async with asyncio.timeout(1):
            while True:
                async with await Dialog.open(edge.proxy) as client:
                    client.send(PROXIED)
                    if (await client.read_reply()).startswith("220 "):
                        break


async def test_what_a_client_does_on_two_replicas_is_counted_together_and_bans_it_on_both(
    two_edges: list[EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    await KvConfigPublisher(link).put(EDGE_KEY, a_policy(unknown_recipients=BanTrigger(4)))
    for edge in two_edges:
        await edge.until_ready()
    for edge in two_edges * 2:
        async with await Dialog.open(edge.proxy) as client:
            client.send(PROXIED)
            await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<a@sender.example>\nS: 250 *")
            await client("C: RCPT TO:<nobody@dest.example>\nS: 550 5.1.1 *")
    for edge in two_edges:
        async with asyncio.timeout(1):
            while True:
                async with await Dialog.open(edge.proxy) as client:
                    client.send(PROXIED)
                    reply = await client.read_reply()
                if reply.endswith("because of too many recipients that do not exist"):
                    break
    (ban,) = await KvBans(link, SystemClock()).all()
    assert (ban.network, ban.is_automatic, ban.offences) == ("192.0.2.55", True, 1)
