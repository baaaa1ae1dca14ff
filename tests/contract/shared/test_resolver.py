"""The caching resolver against real servers: cache, coalescing, truncation."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
import structlog

from dns_server import DnsServer
from links import until
from tripost_shared.clock import FrozenClock
from tripost_shared.dns import exchange, resolver
from tripost_shared.dns.port import Status
from tripost_shared.dns.resolver import CachingResolver

ASKED = ("a.example", "A")
Maker = Callable[..., CachingResolver]


async def test_an_answer_is_remembered_for_its_ttl(resolver_of: Maker, clock: FrozenClock) -> None:
    async with DnsServer("a.example 30 A 192.0.2.1") as server:
        asking = resolver_of(server)
        assert asking.cached(*ASKED) is None
        first = await asking.resolve(*ASKED)
        clock.advance(timedelta(seconds=29))
        assert await asking.resolve(*ASKED) == asking.cached(*ASKED) == first
        assert server.questions[ASKED] == 1
        clock.advance(timedelta(seconds=1))
        await asking.resolve(*ASKED)
        assert server.questions[ASKED] == 2


@pytest.mark.parametrize(("ttl", "good_for"), [(30, 30), (0, 0), (999_999, resolver.LONGEST_SECONDS)])
async def test_an_answer_says_up_to_when_it_is_good_also_from_the_cache(
    resolver_of: Maker, clock: FrozenClock, ttl: int, good_for: float
) -> None:
    async with DnsServer(f"a.example {ttl} A 192.0.2.1") as server:
        asking = resolver_of(server)
        for seconds in (0, 10):
            clock.advance(timedelta(seconds=seconds))
            answer = await asking.resolve(*ASKED)
            asked_at = clock.monotonic() - (seconds if ttl else 0)
            assert answer.good_until == asked_at + good_for


async def test_ttl_zero_is_never_used_again(resolver_of: Maker) -> None:
    async with DnsServer("a.example 0 A 192.0.2.1") as server:
        asking = resolver_of(server)
        await asking.resolve(*ASKED)
        assert asking.cached(*ASKED) is None
        server.replace("a.example 0 A 192.0.2.2")
        assert (await asking.resolve(*ASKED)).records == ("192.0.2.2",)
        assert server.questions[ASKED] == 2


async def test_an_answer_too_large_to_remember_is_given_all_the_same(
    resolver_of: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "MOST_REMEMBERED_CHARACTERS", 100)
    async with DnsServer(f"a.example TXT {'x' * 100}", f"b.example TXT {'x' * 101}") as server:
        asking = resolver_of(server)
        small, large = [await asking.resolve(name, "TXT") for name in ("a.example", "b.example")]
        assert asking.cached("a.example", "TXT") == small
        assert asking.cached("b.example", "TXT") is None
        assert large.records == ("x" * 101,)


async def test_an_alias_with_ttl_zero_is_never_used_again(resolver_of: Maker) -> None:
    async with DnsServer("a.example 0 CNAME b.example", "b.example 300 A 192.0.2.1") as server:
        asking = resolver_of(server)
        for _ in range(2):
            await asking.resolve(*ASKED)
        assert server.questions[ASKED] == 2


@pytest.mark.parametrize(("negative_ttl_seconds", "questions"), [(60, 1), (0, 2), (-1, 2)])
async def test_that_a_name_does_not_exist_is_remembered_as_the_soa_says(
    resolver_of: Maker, negative_ttl_seconds: int, questions: int
) -> None:
    """RFC 2308 §5; without an SOA (-1) not at all."""
    async with DnsServer(negative_ttl_seconds=negative_ttl_seconds) as server:
        asking = resolver_of(server)
        for _ in range(2):
            assert (await asking.resolve(*ASKED)).status is Status.NO_NAME
        assert server.questions[ASKED] == questions


async def test_no_answer_outlives_the_caps(resolver_of: Maker, clock: FrozenClock) -> None:
    async with DnsServer("a.example 999999 A 192.0.2.1", negative_ttl_seconds=999999) as server:
        asking = resolver_of(server)
        await asking.resolve(*ASKED)
        await asking.resolve("no.example", "A")
        clock.advance(timedelta(seconds=resolver.LONGEST_NEGATIVE_SECONDS))
        assert asking.cached("no.example", "A") is None
        assert asking.cached(*ASKED) is not None
        clock.advance(timedelta(hours=1))
        assert asking.cached(*ASKED) is None


async def test_a_failure_is_forgotten_within_seconds(resolver_of: Maker, clock: FrozenClock) -> None:
    async with DnsServer("a.example A SERVFAIL") as server:
        asking = resolver_of(server)
        assert (await asking.resolve(*ASKED)).status is Status.FAILED
        server.replace("a.example A 192.0.2.1")
        clock.advance(timedelta(seconds=5))
        assert (await asking.resolve(*ASKED)).status is Status.FOUND


async def test_equal_questions_at_one_time_go_out_once(resolver_of: Maker) -> None:
    async with DnsServer("a.example 1 A 192.0.2.1") as server:
        asking = resolver_of(server)
        answers = await asyncio.gather(*(asking.resolve(*ASKED) for _ in range(50)))
        assert {answer.records for answer in answers} == {("192.0.2.1",)}
        assert server.questions[ASKED] == 1


@pytest.mark.parametrize(
    ("record", "negative_ttl_seconds"),
    [("a.example 0 A 192.0.2.1", 60), ("a.example A NODATA", 0), ("a.example 0 CNAME b.example", 60)],
)
async def test_an_answer_with_ttl_zero_serves_the_one_who_asked_alone(
    resolver_of: Maker, record: str, negative_ttl_seconds: int
) -> None:
    """Of "yes" and "no" alike; all others ask, too, once each."""
    async with DnsServer(record, "b.example A 192.0.2.2", negative_ttl_seconds=negative_ttl_seconds) as server:
        asking = resolver_of(server)
        answers = await asyncio.gather(*(asking.resolve(*ASKED) for _ in range(20)))
        assert len(set(answers)) == 1
        assert server.questions[ASKED] == 20


async def test_who_waited_for_an_answer_with_ttl_zero_learns_what_is_true_after_it(resolver_of: Maker) -> None:
    async with DnsServer("a.example 0 A 192.0.2.1") as server:
        server.once_answered = lambda: server.replace("a.example 0 A 192.0.2.2")
        asking = resolver_of(server)
        answers = await asyncio.gather(*(asking.resolve(*ASKED) for _ in range(3)))
        assert [answer.records for answer in answers] == [("192.0.2.1",), ("192.0.2.2",), ("192.0.2.2",)]


async def test_a_failure_is_shared_by_those_who_waited_for_it(resolver_of: Maker) -> None:
    """A server in trouble is not asked by a crowd at once."""
    async with DnsServer("a.example A SERVFAIL") as server:
        asking = resolver_of(server)
        first = await asking.resolve(*ASKED)
        questions = server.questions[ASKED]
        asking._remembered.clear()
        assert await asyncio.gather(*(asking.resolve(*ASKED) for _ in range(20))) == [first] * 20
        assert server.questions[ASKED] == 2 * questions


async def test_who_gave_up_waiting_asks_nothing_anew(resolver_of: Maker) -> None:
    async with DnsServer("a.example A TIMEOUT") as server:
        asking = resolver_of(server)
        patient = asyncio.create_task(asking.resolve(*ASKED))
        hurried = [asking.resolve(*ASKED, within=timedelta(seconds=0.05)) for _ in range(20)]
        assert {answer.because for answer in await asyncio.gather(*hurried)} == {"no answer in time"}
        server.questions.clear()
        server.replace("a.example 0 A 192.0.2.1")
        assert (await patient).status is Status.FOUND
        assert server.questions[ASKED] == 1


async def test_asking_anew_takes_no_longer_than_any_look_up(
    resolver_of: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is silent from the first answer on; the wait before counts."""
    monkeypatch.setattr(resolver, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(exchange, "TRY_SECONDS", 0.6)
    async with DnsServer("a.example A TIMEOUT") as server:
        asking = resolver_of(server)
        began = asyncio.get_running_loop().time()
        first, second = (asyncio.create_task(asking.resolve(*ASKED)) for _ in range(2))
        await until(lambda: server.questions[ASKED] == 1)
        server.replace("a.example 0 A 192.0.2.1")  # for the second try, after 0.6 s
        server.once_answered = lambda: server.replace("a.example A TIMEOUT")
        assert [(await task).status for task in (first, second)] == [Status.FOUND, Status.FAILED]
        assert asyncio.get_running_loop().time() - began < 1.4
        assert asking.cached(*ASKED) is None  # that he had little time left is nothing for others


async def test_those_who_ask_anew_count_among_the_look_ups_at_one_time(
    resolver_of: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "MOST_AT_ONCE", 3)
    async with DnsServer("a.example 0 A 192.0.2.1") as server:
        asking = resolver_of(server)
        answers = await asyncio.gather(*(asking.resolve(*ASKED) for _ in range(9)))
        assert [answer.status for answer in answers] == [Status.FOUND] * 4 + [Status.FAILED] * 5
        assert {answer.because for answer in answers[4:]} == {resolver.TOO_MANY.because}
        assert server.questions[ASKED] == 4
        assert (await asking.resolve(*ASKED)).status is Status.FOUND


async def test_many_questions_at_once_get_each_its_own_answer(resolver_of: Maker) -> None:
    records = [f"n{number}.example A 192.0.2.{number}" for number in range(250)]
    async with DnsServer(*records) as server:
        asking = resolver_of(server)
        answers = await asyncio.gather(*(asking.resolve(f"n{number}.example", "A") for number in range(250)))
        assert [answer.records for answer in answers] == [(f"192.0.2.{number}",) for number in range(250)]


async def test_one_who_gives_up_early_does_not_spoil_it_for_others(resolver_of: Maker) -> None:
    async with DnsServer("a.example A TIMEOUT") as server:
        asking = resolver_of(server)
        patient = asyncio.create_task(asking.resolve(*ASKED))
        hurried = await asking.resolve(*ASKED, within=timedelta(seconds=0.05))
        assert hurried.status is Status.FAILED
        assert asking.cached(*ASKED) is None
        server.replace("a.example A 192.0.2.1")
        assert (await patient).status is Status.FOUND


async def test_an_answer_that_is_cut_short_even_by_tcp_is_no_answer(resolver_of: Maker) -> None:
    """Empty as it is, it would say that the name has no such records."""
    async with DnsServer("a.example A TRUNCATED") as server:
        assert (await resolver_of(server).resolve(*ASKED)).status is Status.FAILED


async def test_what_udp_cannot_carry_comes_by_tcp(resolver_of: Maker) -> None:
    async with DnsServer("a.example TXT " + "x" * 20_000) as server:
        answer = await resolver_of(server).resolve("a.example", "TXT")
        assert answer.records == ("x" * 20_000,)
        assert server.by_tcp == 1


@pytest.mark.parametrize("repeats_questions", [True, False])
async def test_a_server_without_edns_is_asked_without(resolver_of: Maker, repeats_questions: bool) -> None:
    """RFC 6891 §7."""
    async with DnsServer("a.example A 192.0.2.1") as server:
        server.ignores_edns = True
        server.repeats_questions = repeats_questions
        assert (await resolver_of(server).resolve(*ASKED)).status is Status.FOUND


async def test_an_alias_that_leads_out_of_the_answer_is_asked_for(resolver_of: Maker) -> None:
    async with DnsServer("a.example CNAME b.example", "b.example A 192.0.2.1", "c.example CNAME c.example") as server:
        server.leads_out = True
        asking = resolver_of(server)
        assert (await asking.resolve(*ASKED)).records == ("192.0.2.1",)
        assert (await asking.resolve("c.example", "A")).status is Status.FAILED


async def test_source_ports_change(resolver_of: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever would forge answers has ports to guess, too (RFC 5452 §4.5)."""
    monkeypatch.setattr(exchange, "QUESTIONS_A_SOCKET", 3)
    ports: set[int] = set()
    async with DnsServer(ttl_seconds=0, negative_ttl_seconds=0) as server:
        asking = resolver_of(server)
        for number in range(60):
            assert (await asking.resolve(f"n{number}.example", "A")).status is Status.NO_NAME
            channels = asking._exchange._servers[0]._channels
            ports |= {channel._socket.getsockname()[1] for channel in channels if channel is not None}
    assert len(ports) > exchange.SOCKETS_A_SERVER


async def test_the_cache_is_bounded_and_the_least_used_go(resolver_of: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MOST_REMEMBERED", 3)
    async with DnsServer(*(f"n{number}.example A 192.0.2.1" for number in range(4))) as server:
        asking = resolver_of(server)
        for number in (0, 1, 2, 0, 3):
            await asking.resolve(f"n{number}.example", "A")
        assert [asking.cached(f"n{number}.example", "A") is not None for number in range(4)] == [
            True,
            False,
            True,
            True,
        ]


async def test_a_look_up_that_breaks_is_a_failed_one_and_logged(
    resolver_of: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise LookupError("nobody expected this")

    monkeypatch.setattr(exchange.Exchange, "ask", broken)
    with structlog.testing.capture_logs() as logs:
        answer = await resolver_of("127.0.0.1").resolve(*ASKED)
    assert (answer.status, answer.because) == (Status.FAILED, "LookupError")
    assert [(entry["event"], entry["name"]) for entry in logs] == [("look-up broke", "a.example")]


async def test_closing_ends_look_ups_under_way(resolver_of: Maker) -> None:
    async with DnsServer("a.example A TIMEOUT") as server:
        asking = resolver_of(server)
        look_up = asyncio.create_task(asking.resolve(*ASKED))
        await asyncio.sleep(0)
        await asking.close()
        assert (await look_up).status is Status.FAILED
