"""DNS for checks that are plain functions."""

from datetime import timedelta

import pytest

from tripost_filter.lookups import MAX_QUESTIONS, Lookups, TooManyLookups, Unanswered, settle
from tripost_shared.clock import FrozenClock
from tripost_shared.dns.port import Status
from tripost_shared.dns.table import TableResolver
from unit.filter.mails import CachedTable, SilentResolver


def follow(lookups: Lookups) -> str:
    """Go from a name to the name that its TXT record holds, to the end."""
    name = "1.example"
    while (answer := lookups.get(name, "TXT")).status is Status.FOUND:
        name = answer.records[0]
    return name


CHAIN = ("1.example TXT 2.example", "2.example TXT 3.example")


def test_what_is_in_the_cache_needs_no_waiting() -> None:
    assert follow(Lookups(CachedTable(*CHAIN))) == "3.example"


def test_what_is_not_has_to_be_asked_for() -> None:
    with pytest.raises(Unanswered) as missing:
        follow(Lookups(TableResolver(*CHAIN)))
    assert missing.value.questions == (("1.example", "TXT"),)


async def test_an_evaluation_is_run_again_with_what_was_learnt(clock: FrozenClock) -> None:
    resolver = TableResolver(*CHAIN)
    assert await settle(follow, resolver, clock, clock.monotonic() + 2) == "3.example"
    assert set(resolver.questions.values()) == {1}


def test_all_that_is_missing_is_named_at_once() -> None:
    questions = [("1.example", "A"), ("2.example", "A")]
    with pytest.raises(Unanswered) as missing:
        Lookups(TableResolver()).get_all(questions)
    assert missing.value.questions == questions


async def test_what_comes_too_late_counts_as_failed(clock: FrozenClock) -> None:
    """The first look-up uses up all the time, the second one is not even asked."""
    resolver = SilentResolver(clock)

    def two(lookups: Lookups) -> list[str]:
        return [lookups.get(name, "A").because for name in ("1.example", "2.example")]

    reasons = await settle(two, resolver, clock, clock.monotonic() + 1.5)
    assert reasons == ["no answer in time", "no time left for another look-up"]
    assert resolver.waited == [timedelta(seconds=1.5)]


async def test_an_evaluation_that_never_ends_is_ended(clock: FrozenClock) -> None:
    def endless(lookups: Lookups) -> None:
        number = 0
        while True:
            lookups.get(f"{number}.example", "A")
            number += 1

    with pytest.raises(TooManyLookups):
        await settle(endless, TableResolver(), clock, clock.monotonic() + 2)


async def test_an_evaluation_that_asks_for_very_much_is_ended(clock: FrozenClock) -> None:
    def greedy(lookups: Lookups) -> None:
        lookups.get_all([(f"{number}.example", "A") for number in range(MAX_QUESTIONS + 1)])

    with pytest.raises(TooManyLookups):
        await settle(greedy, TableResolver(), clock, clock.monotonic() + 2)
