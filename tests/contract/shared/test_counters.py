"""One behaviour suite for shared counts, on the fake and on JetStream."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from links import SMALL, provisioned_link, settings_for
from servers import NatsServer
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import FrozenClock, SystemClock
from tripost_shared.counters.jetstream import JetStreamCounters
from tripost_shared.counters.memory import MemoryCounters
from tripost_shared.counters.port import (
    DOMAINS,
    GROUPS,
    OURS,
    Count,
    Counters,
    CountersUnavailable,
    Tally,
    count_at,
    window_at,
)
from tripost_shared.provision import provision
from tripost_shared.reprovision import Reprovision

KEY = "login:Ann.O'Neil+x@exämple.org"


@pytest.fixture(params=["memory", "jetstream"])
async def counters(
    request: pytest.FixtureRequest, nats_server: NatsServer, clock: FrozenClock
) -> AsyncIterator[Counters]:
    if request.param == "memory":
        yield MemoryCounters(clock)
        return
    async with provisioned_link(nats_server) as link:
        yield JetStreamCounters(link, clock)


async def test_keys_that_strangers_choose_push_out_none_of_ours(nats_server: NatsServer, clock: FrozenClock) -> None:
    sizes = dataclasses.replace(SMALL, counters=64 << 10)
    async with provisioned_link(nats_server, sizes) as link:
        counters = JetStreamCounters(link, clock)
        ours, theirs = (count_at(clock.now(), "rate-messages", "x", 3600, group) for group in (OURS, DOMAINS))
        await counters.add_all([(ours, 3), (theirs, 3)])
        await counters.add_all([(theirs._replace(key=f"domain {number}"), 1) for number in range(1000)])
        assert await counters.read_all([ours, theirs]) == [3, 0]


async def test_each_addition_tells_the_new_total(counters: Counters) -> None:
    assert await counters.read("logins", KEY, 60) == 0
    assert [await counters.add("logins", KEY, 60, amount) for amount in (1, 4, -2)] == [1, 5, 3]
    assert await counters.read("logins", KEY, 60) == 3


async def test_kinds_keys_and_windows_are_counted_apart(counters: Counters) -> None:
    counts = [
        Count(kind, key, seconds, number, group)
        for group in GROUPS
        for kind in ("a", "b-2")
        for key in (KEY, "", "x" * 400, "x" * 401, "a.b.*.>")
        for seconds in (60, 3600, 86_400)
        for number in (7, 8)
    ]
    amounts = list(range(1, len(counts) + 1))
    assert await counters.add_all(list(zip(counts, amounts, strict=True))) == amounts
    assert await counters.read_all(counts) == amounts
    assert (await counters.add_all([]), await counters.read_all([])) == ([], [])


async def test_a_window_that_ends_is_followed_by_one_at_zero(counters: Counters, clock: FrozenClock) -> None:
    first = count_at(clock.now(), "logins", KEY, 60)
    await counters.add("logins", KEY, 60, 9)
    clock.advance(timedelta(seconds=60))
    assert await counters.add("logins", KEY, 60) == 1
    second = count_at(clock.now(), "logins", KEY, 60)
    assert second.before == first
    assert await counters.read_all([second, second.before]) == [1, 9]
    await counters.add_all([(first, -2)])  # given back late, to where it was taken from
    assert await counters.read_all([second, first]) == [1, 7]


async def test_additions_at_the_same_time_are_all_counted(counters: Counters) -> None:
    totals = await asyncio.gather(*(counters.add("logins", KEY, 3600) for _ in range(300)))
    assert sorted(totals) == list(range(1, 301))


async def test_a_kinds_counts_are_listed_those_of_the_window_before_too(counters: Counters, clock: FrozenClock) -> None:
    await counters.add("logins", "long ago", 60)
    clock.advance(timedelta(seconds=120))
    before = count_at(clock.now(), "logins", KEY, 86_400).before
    now = [count_at(clock.now(), "logins", KEY, seconds) for seconds in (60, 3600, 86_400)]
    await counters.add_all([(count, 2) for count in now])
    await counters.add_all([(before, 5), (count_at(clock.now(), "others", "c", 60), 1)])
    assert sorted(await counters.tallies("logins")) == sorted([*(Tally(count, 2) for count in now), Tally(before, 5)])


async def test_a_window_is_a_day_at_most(counters: Counters) -> None:
    with pytest.raises(ValueError, match="86400 s at most"):
        await counters.add("logins", KEY, 86_401)


async def test_counts_that_nobody_can_reach_are_said_to_be_unavailable(own_server: NatsServer) -> None:
    link = await NatsLink.connect(settings_for(own_server), "test")
    counters = JetStreamCounters(link, SystemClock())
    with pytest.raises(CountersUnavailable):  # no such stream
        await counters.add("logins", KEY, 60)
    own_server.kill()
    with pytest.raises(CountersUnavailable):
        await counters.add("logins", KEY, 60)
    with pytest.raises(CountersUnavailable):
        await counters.tallies("logins")
    await link.close()
    fake = MemoryCounters(SystemClock())
    fake.is_unavailable = True
    with pytest.raises(CountersUnavailable):
        await fake.read("logins", KEY, 60)


async def test_a_server_that_has_lost_its_memory_gets_the_counters_anew(own_server: NatsServer) -> None:
    link = await NatsLink.connect(settings_for(own_server), "test")
    await provision(link, settings_for(own_server), SMALL)
    again = Reprovision(link, settings_for(own_server), SMALL)
    counters = JetStreamCounters(link, SystemClock())
    await counters.add("logins", KEY, 86_400, 7)
    own_server.kill()
    own_server.start()
    total = 0
    async with asyncio.timeout(10):
        while not total:
            try:
                total = await counters.add("logins", KEY, 86_400)
            except CountersUnavailable:
                await asyncio.sleep(0.02)
    assert total == 1
    await again.close()
    await link.close()


def test_windows_of_a_length_follow_each_other_from_1970_on() -> None:
    assert window_at(datetime(1970, 1, 1, 0, 0, 59, tzinfo=UTC), 60) == 0
    assert window_at(datetime(1970, 1, 2, tzinfo=UTC), 86_400) == 1
