"""How many sessions of a network there are in all workers together, and how many it begins a minute."""

import asyncio
import random
from datetime import timedelta

import pytest

from tripost_edge.defence.session_counts import SILENT_SECONDS, SessionCounts
from tripost_edge.limits.crowd import ALL, Crowd, Crowded
from tripost_edge.listeners.registry import Place, Registry
from tripost_edge.session import replies
from tripost_shared.bus.memory_telling import MemoryTelling
from tripost_shared.clock import FrozenClock
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.mail.client import ListenerKind

NETWORK = "192.0.2.7"
OFF = {
    "sessions_per_network": 0,
    "sessions_per_wide_network": 0,
    "connections_per_minute_of_network": 0,
    "connections_per_minute_of_wide_network": 0,
}


def limits(**changed: int) -> EdgeLimits:
    """Only these."""
    return EdgeLimits(**{**OFF, **changed})


class Quiet:
    """A session that does nothing."""

    def dismiss(self) -> None:
        return None

    def abort(self) -> None:
        return None


class Worker:
    """What counts sessions in one worker of some edge."""

    def __init__(self, telling: MemoryTelling, clock: FrozenClock, given: EdgeLimits) -> None:
        self.crowd = Crowd(clock, given)
        self.counts = SessionCounts(self.crowd, telling, clock)
        self.registry = Registry(1000, self.counts)
        self.counts.start()

    async def connect(self, network: str = NETWORK) -> tuple[Quiet, object]:
        session = Quiet()
        refusal = self.registry.admit(session, Place(ListenerKind.MX, network))
        return session, refusal or await self.registry.confirm(session)


async def some_workers(count: int, clock: FrozenClock, given: EdgeLimits) -> list[Worker]:
    telling = MemoryTelling()
    workers = [Worker(telling, clock, given) for _ in range(count)]
    await asyncio.sleep(0.02)  # until all have been heard
    return workers


@pytest.mark.parametrize(
    ("given", "networks", "taken", "reply"),
    [
        pytest.param(limits(sessions_per_network=3), [NETWORK], 3, replies.TOO_MANY_OF_NETWORK, id="of an address"),
        pytest.param(
            limits(sessions_per_network=3), ["2001:db8::/64"], 3, replies.TOO_MANY_OF_NETWORK, id="of an IPv6 /64"
        ),
        pytest.param(
            limits(sessions_per_wide_network=4),
            [f"192.0.2.{last}" for last in range(10)],
            4,
            replies.TOO_MANY_OF_WIDE_NETWORK,
            id="of an IPv4 /24",
        ),
        pytest.param(
            limits(sessions_per_wide_network=4),
            [f"2001:db8:0:{last}::/64" for last in range(10)],
            4,
            replies.TOO_MANY_OF_WIDE_NETWORK,
            id="of an IPv6 /48",
        ),
        pytest.param(
            limits(sessions_of_all_edges=5),
            [f"192.0.{third}.7" for third in range(10)],
            5,
            replies.TOO_MANY_IN_ALL,
            id="in all",
        ),
        pytest.param(limits(connections_per_minute_of_network=6), [NETWORK], 6, replies.TOO_OFTEN, id="a minute"),
        pytest.param(
            limits(connections_per_minute_of_wide_network=6),
            [f"192.0.2.{last}" for last in range(10)],
            6,
            replies.TOO_OFTEN,
            id="a minute, of a /24",
        ),
    ],
)
async def test_a_limit_holds_over_workers_and_says_which_it_is(
    clock: FrozenClock, given: EdgeLimits, networks: list[str], taken: int, reply: object
) -> None:
    workers = await some_workers(2, clock, given)
    results = [(await workers[number % 2].connect(networks[number % len(networks)]))[1] for number in range(taken + 4)]
    assert results == [None] * taken + [reply] * 4
    assert (await workers[0].connect("198.51.100.7"))[1] == (reply if given.sessions_of_all_edges else None)


async def test_moderately_parallel_connections_are_counted_exactly(clock: FrozenClock) -> None:
    """However they are spread and timed: the order in which the tellings are heard decides."""
    chance = random.Random(7)  # noqa: S311 (a choice, no secret)
    for limit in (1, 20, 50):
        workers = await some_workers(3, clock, limits(sessions_per_network=limit))
        order = [workers[chance.randrange(3)] for _ in range(limit + 60)]
        results = []
        for start in range(0, len(order), 8):
            results += await asyncio.gather(*(worker.connect() for worker in order[start : start + 8]))
        assert sum(refusal is None for _, refusal in results) == limit


async def test_a_place_that_is_free_again_is_taken_through_any_worker(clock: FrozenClock) -> None:
    first, second = await some_workers(2, clock, limits(sessions_per_network=2))
    sessions = [(await worker.connect())[0] for worker in (first, second)]
    assert (await second.connect())[1] == replies.TOO_MANY_OF_NETWORK
    first.registry.leave(sessions[0])
    await asyncio.sleep(0.02)  # until that is told
    assert (await second.connect())[1] is None
    assert (await first.connect())[1] == replies.TOO_MANY_OF_NETWORK


async def test_a_rate_falls_as_time_passes_and_refused_connections_do_not_count(clock: FrozenClock) -> None:
    first, second = await some_workers(2, clock, limits(connections_per_minute_of_network=10))
    for number in range(10):
        session, refusal = await (first, second)[number % 2].connect()
        assert refusal is None
        (first, second)[number % 2].registry.leave(session)
    for worker in (first, second) * 5:
        assert (await worker.connect())[1] == replies.TOO_OFTEN
    clock.advance(timedelta(seconds=90))  # half of the minute before counts
    taken = [(await (first, second)[number % 2].connect())[1] is None for number in range(8)]
    assert taken == [True] * 5 + [False] * 3
    clock.advance(timedelta(minutes=2))
    assert (await first.connect())[1] is None


async def test_a_worker_that_ends_or_falls_silent_counts_no_more(clock: FrozenClock) -> None:
    first, second, third = await some_workers(3, clock, limits(sessions_per_network=2))
    for worker in (second, third):
        await worker.connect()
    assert (await first.connect())[1] == replies.TOO_MANY_OF_NETWORK
    second.counts.stop()
    await asyncio.sleep(0.02)
    assert first.crowd.crowded(NETWORK) is None
    clock.advance(timedelta(seconds=SILENT_SECONDS))
    first.counts.forget_silent()
    assert first.crowd.is_alone


async def test_one_that_begins_later_learns_at_once_what_there_is(clock: FrozenClock) -> None:
    telling = MemoryTelling()
    first = Worker(telling, clock, limits(sessions_per_network=2))
    for _ in range(2):
        assert (await first.connect())[1] is None
    later = Worker(telling, clock, limits(sessions_per_network=2))
    await asyncio.sleep(0.02)
    assert later.crowd.crowded(NETWORK) is Crowded.NETWORK


async def test_while_nats_is_away_each_worker_goes_by_what_it_knows(clock: FrozenClock) -> None:
    telling = MemoryTelling()
    workers = [Worker(telling, clock, limits(sessions_per_network=2)) for _ in range(2)]
    await asyncio.sleep(0.02)
    telling.is_down = True
    for worker in workers:
        assert [(await worker.connect())[1] for _ in range(3)] == [None, None, replies.TOO_MANY_OF_NETWORK]


async def test_many_connections_far_from_a_limit_are_told_together(clock: FrozenClock) -> None:
    telling = MemoryTelling()
    workers = [Worker(telling, clock, EdgeLimits(sessions_per_network=200)) for _ in range(2)]
    await asyncio.sleep(0.02)
    before = telling.told
    for number in range(500):
        await workers[0].connect(f"192.0.{number % 250}.7")
    await asyncio.sleep(0.02)
    assert telling.told - before <= 5
    assert workers[1].crowd.crowded(ALL) is None


async def test_a_session_that_takes_over_a_handshakes_place_is_no_second_connection(clock: FrozenClock) -> None:
    (worker,) = await some_workers(1, clock, limits(connections_per_minute_of_network=1, sessions_per_network=1))
    handshake, refusal = await worker.connect()
    assert refusal is None
    session = Quiet()
    assert worker.registry.admit(session, Place(ListenerKind.MX, NETWORK), instead_of=handshake) is None
    worker.registry.leave(handshake)
    assert worker.crowd.crowded(NETWORK) is Crowded.NETWORK
    worker.registry.leave(session)
    assert worker.crowd.crowded(NETWORK) is Crowded.RATE
