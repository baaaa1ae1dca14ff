"""Which of its servers the resolver asks, and what it makes of those that are silent, away or in trouble."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from dns_server import DnsServer
from links import until
from servers import free_port
from tripost_shared.clock import FrozenClock
from tripost_shared.dns import exchange, silence
from tripost_shared.dns.port import Status
from tripost_shared.dns.resolver import CachingResolver

ASKED = ("a.example", "A")
Maker = Callable[..., CachingResolver]


async def test_a_silent_server_costs_two_seconds_at_most(resolver_of: Maker) -> None:
    async with DnsServer("a.example A TIMEOUT") as server:
        asking = resolver_of(server)
        began = asyncio.get_running_loop().time()
        assert (await asking.resolve(*ASKED)).status is Status.FAILED
        assert asyncio.get_running_loop().time() - began < 2.5
        assert server.questions[ASKED] == 3


async def test_another_server_is_asked_when_the_first_is_silent_and_the_first_is_spared(resolver_of: Maker) -> None:
    async with (
        DnsServer("a.example A TIMEOUT", "b.example A 192.0.2.9") as silent,
        DnsServer("a.example A 192.0.2.1", "b.example A 192.0.2.2") as healthy,
    ):
        asking = resolver_of(silent, healthy)
        assert (await asking.resolve(*ASKED)).records == ("192.0.2.1",)
        assert (await asking.resolve("b.example", "A")).records == ("192.0.2.2",)
        assert silent.questions["b.example", "A"] == 0


async def test_a_server_that_was_silent_is_tried_by_one_question_at_a_time(
    resolver_of: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every look-up of the moment would wait for it once more."""
    monkeypatch.setattr(exchange, "DEAD_SECONDS", 0.0)
    names = [f"n{number}.example" for number in range(20)]
    silent_records = (f"{name} A TIMEOUT" for name in ("a.example", *names))
    healthy_records = (f"{name} A 192.0.2.1" for name in ("a.example", *names))
    async with DnsServer(*silent_records) as silent, DnsServer(*healthy_records) as healthy:
        asking = resolver_of(silent, healthy)
        await asking.resolve(*ASKED)
        silent.questions.clear()
        answers = await asyncio.gather(*(asking.resolve(name, "A") for name in names))
        assert {answer.status for answer in answers} == {Status.FOUND}
        assert silent.questions.total() == 1


async def test_a_server_without_tcp_is_alive(resolver_of: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever publishes a long record would have it passed over for everybody's names."""

    async def refused(*_: object) -> None:
        raise exchange.NoReply("refused")

    monkeypatch.setattr(exchange._Server, "_ask_by_tcp", refused)
    async with (
        DnsServer("long.example TXT " + "x" * 20_000, "a.example A 192.0.2.1") as first,
        DnsServer("long.example TXT short", "a.example A 192.0.2.2") as second,
    ):
        asking = resolver_of(first, second)
        assert (await asking.resolve("long.example", "TXT")).records == ("short",)
        assert (await asking.resolve(*ASKED)).records == ("192.0.2.1",)


@pytest.mark.parametrize("trouble", ["SERVFAIL", "REFUSED", "GARBAGE"])
async def test_another_server_is_asked_when_the_first_cannot_say(resolver_of: Maker, trouble: str) -> None:
    async with DnsServer(f"a.example A {trouble}") as broken, DnsServer("a.example A 192.0.2.1") as healthy:
        assert (await resolver_of(broken, healthy).resolve(*ASKED)).records == ("192.0.2.1",)


async def test_a_server_that_nobody_runs_fails_fast(resolver_of: Maker) -> None:
    asking = resolver_of(f"127.0.0.1:{free_port()}")
    began = asyncio.get_running_loop().time()
    assert (await asking.resolve(*ASKED)).status is Status.FAILED
    assert asyncio.get_running_loop().time() - began < 1.0


async def test_a_server_that_comes_back_is_asked_again(resolver_of: Maker, clock: FrozenClock) -> None:
    """Every socket that heard that nobody listens there is replaced: libuv hears nothing more of such a one."""
    server = DnsServer("a.example A 192.0.2.1", "b.example 0 A 192.0.2.2")
    await server.start()
    await server.stop()
    asking = resolver_of(server)
    assert (await asking.resolve(*ASKED)).status is Status.FAILED
    missed = await asyncio.gather(*(asking.resolve(f"n{number}.example", "A") for number in range(20)))
    assert {answer.status for answer in missed} == {Status.FAILED}
    async with server:
        clock.advance(timedelta(seconds=5))
        assert (await asking.resolve(*ASKED)).status is Status.FOUND
        answers = [await asking.resolve("b.example", "A") for _ in range(20)]
        assert {answer.status for answer in answers} == {Status.FOUND}
        assert server.questions["b.example", "A"] == 20  # none had to be asked for twice


async def test_silence_is_told_as_trouble_until_an_answer_comes(
    resolver_of: Maker, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "TROUBLE_SECONDS", 0.0)
    server = DnsServer("a.example A SERVFAIL")
    await server.start()
    await server.stop()
    asking = resolver_of(server)
    for number in range(3):
        assert asking.trouble == ""
        await asking.resolve(f"n{number}.example", "A")
    await until(lambda: asking.trouble.startswith("no DNS server answers, for "))
    async with server:
        assert (await asking.resolve(*ASKED)).status is Status.FAILED  # it answers, though it does not know
        assert asking.trouble == ""


async def test_the_end_of_a_silence_is_noticed_without_anybody_asking(
    resolver_of: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the status of a service with little to ask would say for hours that no server answers."""
    monkeypatch.setattr(silence, "TROUBLE_SECONDS", 0.0)
    monkeypatch.setattr(silence, "PROBE_EVERY_SECONDS", 0.01)
    server = DnsServer()
    await server.start()
    await server.stop()
    asking = resolver_of(server)
    for number in range(3):
        await asking.resolve(f"n{number}.example", "A")
    await until(lambda: asking.trouble != "")
    assert asking.trouble.startswith("no DNS server answers, for ")
    async with server:
        await until(lambda: asking.trouble == "")
    assert asking.trouble == ""


async def test_a_zone_whose_servers_are_away_is_no_silence_of_ours(
    resolver_of: Maker, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a block list that was given up, on a host that has all else in its cache."""
    monkeypatch.setattr(exchange, "TRY_SECONDS", 0.03)
    monkeypatch.setattr(silence, "TROUBLE_SECONDS", 0.0)
    async with DnsServer("a.example 600 A 192.0.2.1", *(f"{n}.bl.example A TIMEOUT" for n in range(4))) as server:
        asking = resolver_of(server)
        for number in range(4):
            assert (await asking.resolve(*ASKED)).status is Status.FOUND
            assert (await asking.resolve(f"{number}.bl.example", "A")).status is Status.FAILED
            assert asking.trouble == ""
        await until(lambda: server.questions[".", "NS"] > 0)
        assert asking.trouble == ""
