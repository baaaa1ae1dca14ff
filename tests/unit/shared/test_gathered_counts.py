"""Limits over several replicas, and what a replica may gather before it tells."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tripost_shared.clock import FrozenClock
from tripost_shared.counters.gathered import Claim, GatheredCounts
from tripost_shared.counters.memory import MemoryCounters
from tripost_shared.counters.port import Count, count_at

KEY = "hourly|login:ann@dest.example"


def claim(clock: FrozenClock, most: int, seconds: int = 3600) -> Claim:
    return Claim(count_at(clock.now(), "rate-messages", KEY, seconds), most)


async def taken(counts: GatheredCounts, wanted: Claim, times: int) -> int:
    return sum([(await counts.take([wanted])).granted for _ in range(times)])


async def test_a_small_limit_is_met_exactly_by_two_replicas(clock: FrozenClock) -> None:
    shared = MemoryCounters(clock)
    replicas = [GatheredCounts(shared, clock) for _ in range(2)]
    wanted = claim(clock, 10)
    granted = [(await replicas[turn % 2].take([wanted])).granted for turn in range(30)]
    assert granted == [1] * 10 + [0] * 20
    for replica in replicas:
        await replica.close()
    assert await shared.read_all([wanted.count]) == [10]  # the refused ones were given back


@pytest.mark.parametrize("most", [100, 1000])
async def test_a_large_limit_holds_within_a_twentieth_over_three_replicas(clock: FrozenClock, most: int) -> None:
    shared = MemoryCounters(clock)
    replicas = [GatheredCounts(shared, clock) for _ in range(3)]
    granted = sum(await asyncio.gather(*(taken(replica, claim(clock, most), most) for replica in replicas)))
    assert most * 0.95 <= granted <= most * 1.05
    for replica in replicas:
        await replica.close()
    assert await shared.read_all([claim(clock, most).count]) == [granted]


async def test_far_from_the_limit_additions_are_gathered_near_it_each_is_told(clock: FrozenClock) -> None:
    shared = MemoryCounters(clock)
    counts = GatheredCounts(shared, clock)
    await taken(counts, claim(clock, 1000), 700)
    assert shared.rounds <= 700 / 20 + 1
    before = shared.rounds
    await taken(counts, claim(clock, 1000), 150)
    assert shared.rounds - before >= 50  # from 800 on
    await counts.close()


async def test_what_has_gathered_is_told_soon(clock: FrozenClock) -> None:
    shared = MemoryCounters(clock)
    counts = GatheredCounts(shared, clock)
    await taken(counts, claim(clock, 1000), 5)
    async with asyncio.timeout(2):
        while await shared.read_all([claim(clock, 1000).count]) != [5]:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.01)
    await counts.close()


async def test_a_total_that_was_heard_too_long_ago_is_asked_for(clock: FrozenClock) -> None:
    shared = MemoryCounters(clock)
    one, other = GatheredCounts(shared, clock), GatheredCounts(shared, clock)
    await taken(one, claim(clock, 1000), 1)
    await taken(other, claim(clock, 1000), 1000)
    clock.advance(timedelta(seconds=0.2))
    assert (await one.take([claim(clock, 1000)])).granted == 0
    await one.close()
    await other.close()


async def test_the_window_before_counts_with_its_share(clock: FrozenClock) -> None:
    shared = MemoryCounters(clock)
    counts = GatheredCounts(shared, clock)
    assert await taken(counts, claim(clock, 10), 20) == 10
    clock.advance(timedelta(hours=1))
    assert await taken(counts, claim(clock, 10), 20) == 0
    clock.advance(timedelta(minutes=30))
    assert await taken(counts, claim(clock, 10), 20) == 5
    await counts.close()


async def test_of_many_as_many_are_granted_as_there_is_room_for_in_all_windows(clock: FrozenClock) -> None:
    counts = GatheredCounts(MemoryCounters(clock), clock)
    minute, hour = claim(clock, 7, 60), claim(clock, 20)
    first = await counts.take([minute, hour], 10)
    assert (first.granted, first.reached, first.passed) == (7, minute, 0)
    clock.advance(timedelta(minutes=2))
    second = await counts.take([claim(clock, 30, 60), hour], 20)
    assert (second.granted, second.reached, second.passed) == (13, hour, 7)
    await counts.close()


async def test_what_is_given_back_can_be_taken_again(clock: FrozenClock) -> None:
    counts = GatheredCounts(MemoryCounters(clock), clock)
    wanted = claim(clock, 3)
    assert await taken(counts, wanted, 5) == 3
    counts.give_back([wanted], 2)
    assert await taken(counts, wanted, 5) == 2
    await counts.close()


async def test_those_near_their_limit_are_named(clock: FrozenClock) -> None:
    counts = GatheredCounts(MemoryCounters(clock), clock)
    wanted = claim(clock, 10)
    assert [(await counts.take([wanted])).near for _ in range(9)] == [()] * 7 + [((wanted, 8),), ((wanted, 9),)]
    await counts.close()


async def test_who_is_first_over_all_replicas_is_told_so_once(clock: FrozenClock) -> None:
    shared = MemoryCounters(clock)
    one, other = GatheredCounts(shared, clock), GatheredCounts(shared, clock)
    count = Count("rate-warned", KEY, 3600, 7)
    assert [await one.is_first(count), await other.is_first(count), await one.is_first(count)] == [True, False, False]
    assert await other.is_first(count._replace(number=8))


async def test_while_the_counters_are_away_a_replica_counts_by_itself_and_tells_it_later(clock: FrozenClock) -> None:
    shared = MemoryCounters(clock)
    alone: list[None] = []
    counts = GatheredCounts(shared, clock, lambda: alone.append(None))
    wanted = claim(clock, 10)
    await taken(counts, wanted, 2)
    shared.is_unavailable = True
    with capture_logs() as logs:
        assert await taken(counts, wanted, 20) == 8
        assert len(alone) == 20
        shared.is_unavailable = False
        clock.advance(timedelta(seconds=2))
        assert await taken(counts, wanted, 1) == 0
    assert [line["event"] for line in logs] == [
        "shared counters are away, each replica counts by itself",
        "shared counters are back",
    ]
    await counts.close()
    assert await shared.read_all([wanted.count]) == [10]


MOVES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5), st.booleans()), min_size=50, max_size=300)


@settings(deadline=None, max_examples=60)
@given(MOVES, st.sampled_from([3, 50, 120]))
async def test_whatever_three_replicas_take_and_give_back_the_limit_holds(
    moves: list[tuple[int, int, bool]], most: int
) -> None:
    """And what is counted in the end is what was taken and not given back."""
    clock = FrozenClock()
    shared = MemoryCounters(clock)
    replicas = [GatheredCounts(shared, clock) for _ in range(3)]
    wanted = claim(clock, most)
    kept = 0
    for number, amount, comes_to_nothing in moves:
        granted = (await replicas[number].take([wanted], amount)).granted
        assert 0 <= granted <= amount
        if comes_to_nothing:
            replicas[number].give_back([wanted], granted)
        else:
            kept += granted
        assert kept <= most * 1.05
    for replica in replicas:
        await replica.close()
    assert await shared.read_all([wanted.count]) == [kept]
