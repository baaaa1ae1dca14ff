"""Rates of messages and recipients, met by clients on real sockets; time passes by a clock that the test moves."""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.control import (
    Amounts,
    ControlAction,
    ControlConfig,
    ControlRule,
    Rate,
    RateOverride,
    RateScope,
)
from tripost_shared.contracts.events import Fact
from tripost_shared.counters.memory import MemoryCounters
from tripost_shared.counters.port import CLIENTS

Start = Callable[..., Awaitable[EdgeWorld]]
NAMED = (RateOverride("127.0.0.0/8"),)  # so that this machine is counted
LOGIN = "C: AUTH PLAIN {}\nS: 235 *".format(b64encode(b"\0user@dest.example\0secret").decode())
MESSAGE = (
    "C: MAIL FROM:<{0}>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *\n"
    "C: From: user@dest.example\nC:\nC: .\nS: 250 *"
)
OPEN = "C: MAIL FROM:<>\nS: 250 *\nC: RSET\nS: 250 *"


def rate(per: str = "client", name: str = "the-rate", **others: Any) -> Rate:
    scope = RateScope(per)
    return Rate(name, scope, **{"overrides": NAMED if scope is RateScope.CLIENT else (), **others})


@pytest.fixture
async def start(running: Start, clock: FrozenClock) -> Callable[..., Awaitable[EdgeWorld]]:
    """Start an edge with these rates, and rules."""

    async def start(*rates: Rate, rules: tuple[ControlRule, ...] = (), counters: Any = None) -> EdgeWorld:
        world = await running(clock=clock, counters=counters)
        world.edge.take_control(ControlConfig(1, rules, rates))
        return world

    return start


@pytest.mark.parametrize(
    ("window", "words", "seconds"), [("minute", "a minute", 60), ("hour", "an hour", 3600), ("day", "a day", 86_400)]
)
async def test_a_client_sends_so_many_messages_in_each_window(
    start: Start, clock: FrozenClock, window: str, words: str, seconds: int
) -> None:
    world = await start(rate(messages=Amounts(**{window: 2})))
    async with await world.greeted() as client:
        for _ in range(2):
            await client(MESSAGE.format(""))
        said = await client("C: MAIL FROM:<>\nS: 451 4.7.1 *")
        assert said.startswith(f"451 4.7.1 Too many messages: 2 in {words} for client 127.0.0.1, try again later (")
        clock.advance(timedelta(seconds=seconds))
        await client("C: MAIL FROM:<>\nS: 451 4.7.1 *")  # they came within the last hour, whatever the window's number
        clock.advance(timedelta(seconds=seconds / 2 + 1))
        await client("C: MAIL FROM:<>\nS: 250 *")
    (first, _) = world.facts(Fact.REFUSED)
    assert (first.stage, first.detail) == (
        "mail",
        f"rate the-rate: 2 messages of 2 in {words} for client 127.0.0.1",
    )


async def test_recipients_are_counted_apart_each_for_itself(start: Start) -> None:
    world = await start(rate(messages=Amounts(hour=100), recipients=Amounts(hour=3)))
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 250 *")
        await client("""C: RCPT TO:<bob@dest.example>
                        C: RCPT TO:<nobody@dest.example>
                        C: RCPT TO:<ann@dest.example>
                        C: RCPT TO:<user@dest.example>
                        C: RCPT TO:<x@relayed.example>
                        S: 250 *
                        S: 550 5.1.1 *
                        S: 250 *
                        S: 250 *
                        S: 451 4.7.1 Too many recipients: 3 in an hour for client 127.0.0.1, try again later (*""")
    assert await world.counters.read("rate-messages", "the-rate|client:127.0.0.1", 3600, CLIENTS) == 1


async def test_what_comes_to_nothing_is_given_back(start: Start) -> None:
    world = await start(rate(messages=Amounts(hour=1), recipients=Amounts(hour=1)))
    async with await world.greeted() as client:
        for _ in range(3):
            await client("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 250 *\nC: RSET\nS: 250 *")
        await client("C: MAIL FROM:<>\nS: 250 *\nC: EHLO c\nS: 250 *")
        world.spool.is_full = True
        await client(MESSAGE.format("").replace("C: .\nS: 250 *", "C: .\nS: 452 *"))
        world.spool.is_full = False
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nS: 250 *\nC: QUIT\nS: 221 *")
    async with await world.greeted() as client:
        await client(MESSAGE.format(""))
        await client("C: MAIL FROM:<>\nS: 451 4.7.1 *")


async def test_a_login_is_counted_wherever_it_comes_from_and_may_have_more(start: Start, client_tls: Any) -> None:
    own = RateOverride("user@dest.example", messages=Amounts(minute=2))
    world = await start(rate("login", messages=Amounts(minute=1), overrides=(own,)))
    for turn in range(3):
        source = f"127.0.0.{turn + 2}"
        async with await world.greeted("submissions", tls=client_tls, implicit_tls=True, source=source) as client:
            await client(LOGIN)
            if turn < 2:
                await client(MESSAGE.format("user@dest.example"))
            else:
                await client("C: MAIL FROM:<>\nS: 451 4.7.1 *2 in a minute for login user@dest.example*")


async def test_a_senders_domain_is_counted_and_the_null_path_has_none(start: Start) -> None:
    world = await start(rate("sender-domain", messages=Amounts(minute=1)))
    async with await world.greeted() as client:
        await client(MESSAGE.format("a@One.example"))
        await client("C: MAIL FROM:<b@one.example>\nS: 451 4.7.1 * 1 in a minute for sender-domain one.example*")
        await client(MESSAGE.format("a@two.example"))
        await client(MESSAGE.format("") + "\n" + OPEN)


async def test_this_machine_is_not_limited_unless_it_is_named(start: Start) -> None:
    world = await start(rate(messages=Amounts(minute=0), overrides=()))
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nS: 250 *")


async def test_relay_networks_are_counted_as_clients_too(start: Start) -> None:
    world = await start(rate(messages=Amounts(minute=1)))
    world.edge.take_config(EdgeConfig(relay_networks=("127.0.0.0/8",)))
    async with await world.greeted() as client:
        await client(MESSAGE.format(""))
        await client("C: MAIL FROM:<>\nS: 451 4.7.1 *")


async def test_behind_a_proxy_each_announced_client_is_counted_and_one_without_a_name_is_not(running: Start) -> None:
    world = await running(proxy_trusted_networks="127.0.0.0/8")
    world.edge.take_control(ControlConfig(1, (), (rate(messages=Amounts(hour=1)),)))
    said = {}
    for header in (
        "TCP4 192.0.2.7 192.0.2.1 1 25",
        "TCP4 192.0.2.8 192.0.2.1 1 25",
        "TCP4 127.0.0.1 192.0.2.1 1 25",
        "UNKNOWN",
    ):
        replies = []
        for _ in range(2):
            async with await world.dialog("proxy") as client:
                client.send(f"PROXY {header}\r\n".encode())
                await client("S: 220 *\nC: EHLO c\nS: 250 *")
                client.send(b"MAIL FROM:<>\r\n")
                replies.append((await client.read_reply())[:3])
                if replies == ["250"]:
                    await client("C: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 354 *\nC: .\nS: 250 *")
        said[header.split()[1] if " " in header else header] = replies
    assert said == {
        "192.0.2.7": ["250", "451"],
        "192.0.2.8": ["250", "451"],
        "127.0.0.1": ["250", "451"],
        "UNKNOWN": ["250", "250"],
    }


async def test_a_rule_names_what_a_rate_counts(start: Start) -> None:
    """The message counts once it has a recipient that the rule is about, the recipients apart."""
    rule = ControlRule("news", ControlAction.LIMIT, recipients=("@dest.example",), rate="the-rate")
    world = await start(rate(messages=Amounts(hour=2), recipients=Amounts(hour=3), only_by_rule=True), rules=(rule,))
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nC: RCPT TO:<x@relayed.example>\nS: 250 *\nS: 250 *")
        await client("C: RCPT TO:<ann@dest.example>\nC: RCPT TO:<bob@dest.example>\nS: 250 *\nS: 250 *")
        await client("C: DATA\nS: 354 *\nC: .\nS: 250 *")
        await client("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: RCPT TO:<bob@dest.example>\nS: 250 *")
        await client("S: 250 *\nS: 451 4.7.1 Too many recipients: 3 *\nC: DATA\nS: 354 *\nC: .\nS: 250 *")
        await client("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 451 4.7.1 Too many messages: 2 *")


async def test_a_warning_is_recorded_once_when_four_fifths_are_used_up(start: Start, clock: FrozenClock) -> None:
    shared = MemoryCounters(clock)
    worlds = [await start(rate(messages=Amounts(hour=10)), counters=shared) for _ in range(2)]
    for turn in range(10):
        async with await worlds[turn % 2].greeted() as client:
            await client(MESSAGE.format(""))
    async with await worlds[0].greeted() as client:
        await client("C: MAIL FROM:<>\nS: 451 *")
    (warning,) = [fact for world in worlds for fact in world.facts(Fact.LIMIT_WARNED)]
    assert warning.detail == "rate the-rate: 8 messages of 10 in an hour for client 127.0.0.1"
    (accepted,) = [f for w in worlds for f in w.facts(Fact.ACCEPTED) if f.message_id == warning.message_id]
    assert accepted.stage == "data"


async def test_while_the_counters_are_away_each_replica_counts_by_itself(start: Start, clock: FrozenClock) -> None:
    world = await start(rate(messages=Amounts(hour=3)))
    world.counters.is_unavailable = True
    async with await world.greeted() as client:
        for _ in range(3):
            await client(MESSAGE.format(""))
        await client("C: MAIL FROM:<>\nS: 451 4.7.1 *")


async def test_without_rules_and_rates_nothing_is_counted(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog(MESSAGE.format(""))
    assert world.counters.rounds == 0
