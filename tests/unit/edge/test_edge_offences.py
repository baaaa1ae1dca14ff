"""Automatic bans: when there is one, how long it takes, and what is never counted."""

from datetime import timedelta
from typing import Any

import pytest

from edge_world import a_session
from tripost_edge.defence.bans import BansInForce
from tripost_edge.defence.offences import Offences
from tripost_edge.firewall.networks import Networks, RelayAccess
from tripost_edge.firewall.offences import REASONS, Offence, next_ban
from tripost_shared.bans.memory import MemoryBans
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.bans import Ban, BansPolicy, BanTrigger
from tripost_shared.counters.memory import MemoryCounters

THRICE = BanTrigger(3, window_seconds=600, duration_seconds=60)
POLICY = BansPolicy(
    authentication=THRICE, protocol=THRICE, unknown_recipients=THRICE, early_talkers=THRICE, longest_seconds=200
)
MINUTE = timedelta(minutes=1)


class Replica:
    """What counts and bans in one worker of edge."""

    def __init__(self, shared: MemoryBans, counters: MemoryCounters, clock: FrozenClock, node: str = "one") -> None:
        self.relay = RelayAccess()
        self.bans = BansInForce(shared, self.relay, clock)
        self.offences = Offences(counters, self.bans, clock, node)
        self.offences.policy = POLICY

    async def offend(self, times: int, offence: Offence = Offence.PROTOCOL, **client: Any) -> None:
        for _ in range(times):
            self.offences.note(a_session(**client), offence)
        await self.offences.settle()


@pytest.fixture
def shared(clock: FrozenClock) -> MemoryBans:
    return MemoryBans(clock)


@pytest.fixture
def counters(clock: FrozenClock) -> MemoryCounters:
    return MemoryCounters(clock)


@pytest.fixture
def replica(shared: MemoryBans, counters: MemoryCounters, clock: FrozenClock) -> Replica:
    return Replica(shared, counters, clock)


@pytest.mark.parametrize("offence", list(Offence))
async def test_so_many_offences_ban_the_clients_network(
    replica: Replica, shared: MemoryBans, clock: FrozenClock, offence: Offence
) -> None:
    await replica.offend(2, offence)
    assert await shared.all() == []
    await replica.offend(1, offence)
    now = clock.now()
    assert await shared.all() == [Ban("192.0.2.7", REASONS[offence], now, now + MINUTE, "edge one", offences=1)]
    reply = replica.bans.refusal(a_session())
    assert reply is not None
    assert reply.text.endswith(f"because of {REASONS[offence]}")


async def test_replicas_count_together(
    replica: Replica, shared: MemoryBans, counters: MemoryCounters, clock: FrozenClock
) -> None:
    other = Replica(shared, counters, clock, "two")
    for each in (replica, other, replica):
        assert await shared.all() == []
        await each.offend(1)
    assert [ban.by for ban in await shared.all()] == ["edge one"]
    assert other.bans.refusal(a_session()) is not None


async def test_different_offences_and_networks_are_counted_apart(replica: Replica, shared: MemoryBans) -> None:
    await replica.offend(2, Offence.PROTOCOL)
    await replica.offend(2, Offence.AUTHENTICATION)
    await replica.offend(2, address="192.0.2.8")
    assert await shared.all() == []
    await replica.offend(2, address="2001:db8::1")
    await replica.offend(1, address="2001:db8::2")
    assert [ban.network for ban in await shared.all()] == ["2001:db8::/64"]


async def test_what_is_past_counts_less_and_less(replica: Replica, shared: MemoryBans, clock: FrozenClock) -> None:
    await replica.offend(2)
    clock.advance(timedelta(seconds=1190))  # the window before is all but over
    await replica.offend(2)
    assert await shared.all() == []
    clock.advance(timedelta(seconds=15))
    await replica.offend(2)
    assert len(await shared.all()) == 1


async def test_who_is_banned_again_is_banned_twice_as_long_up_to_the_longest(
    replica: Replica, shared: MemoryBans, clock: FrozenClock
) -> None:
    durations = []
    for _ in range(4):
        await replica.offend(3)
        (ban,) = await shared.all()
        durations.append((ban.until - ban.since).total_seconds())
        clock.advance(ban.until - clock.now())
    assert durations == [60, 120, 200, 200]
    clock.advance(timedelta(seconds=POLICY.memory_seconds))
    await replica.offend(3)
    (ban,) = await shared.all()
    assert (ban.offences, ban.until - ban.since) == (1, MINUTE)


async def test_after_a_ban_was_lifted_all_is_counted_anew(
    replica: Replica, shared: MemoryBans, clock: FrozenClock
) -> None:
    await replica.offend(3)
    (ban,) = await shared.all()
    clock.advance(timedelta(seconds=1))
    await shared.put(ban.lifted_at(clock.now()), clock.now() + MINUTE)
    await replica.offend(2)
    assert replica.bans.refusal(a_session()) is None
    await replica.offend(1)
    (ban,) = await shared.all()
    assert (ban.offences, ban.until - ban.since) == (1, MINUTE)


@pytest.mark.parametrize(
    "client",
    [
        pytest.param({"address": "127.0.0.1"}, id="loopback"),
        pytest.param({"address": "::1"}, id="loopback of IPv6"),
        pytest.param({"address": "198.51.100.7"}, id="a relay network"),
        pytest.param({"address": "203.0.113.7"}, id="a proxy"),
        pytest.param({"login": "user@dest.example"}, id="logged in"),
        pytest.param({"unnamed_by_proxy": True}, id="a proxy that names nobody"),
    ],
)
async def test_ours_are_not_counted(replica: Replica, shared: MemoryBans, client: dict[str, Any]) -> None:
    replica.relay.replace(Networks(["198.51.100.0/24"]))
    replica.relay.trust_proxies([Networks(["203.0.113.0/24"])])
    await replica.offend(10, **client)
    assert await shared.all() == []


async def test_a_client_that_an_access_rule_allows_is_neither_counted_nor_banned(
    replica: Replica, shared: MemoryBans
) -> None:
    session = a_session()
    session.is_allowed = True
    for _ in range(5):
        replica.offences.note(session, Offence.PROTOCOL)
    await replica.offences.settle()
    assert await shared.all() == []
    await replica.offend(3)
    assert replica.bans.refusal(a_session()) is not None
    assert replica.bans.refusal(session) is None


async def test_a_login_outlives_an_automatic_ban_but_not_an_operators(
    replica: Replica, shared: MemoryBans, clock: FrozenClock
) -> None:
    await replica.offend(3)
    session = a_session(login="user@dest.example")
    assert replica.bans.refusal(session) is None
    ban = Ban("192.0.2.0/24", "abuse", clock.now(), clock.now() + 2 * MINUTE, "ann")
    await shared.put(ban, ban.until)
    assert replica.bans.refusal(session) is not None


async def test_an_announced_loopback_address_is_a_strangers(replica: Replica, shared: MemoryBans) -> None:
    await replica.offend(3, address="127.0.0.1", announced_by_proxy=True)
    assert len(await shared.all()) == 1


async def test_triggers_are_switched_off_one_by_one_and_together(replica: Replica, shared: MemoryBans) -> None:
    replica.offences.policy = BansPolicy(protocol=BanTrigger(1, enabled=False), early_talkers=BanTrigger(1))
    await replica.offend(5, Offence.PROTOCOL)
    assert await shared.all() == []
    replica.offences.policy = BansPolicy(enabled=False, early_talkers=BanTrigger(1))
    await replica.offend(5, Offence.EARLY_TALKER)
    assert await shared.all() == []


async def test_while_the_counters_are_away_nobody_is_banned_and_later_ones_are_counted(
    replica: Replica, shared: MemoryBans, counters: MemoryCounters
) -> None:
    counters.is_unavailable = True
    await replica.offend(5)
    assert await shared.all() == []
    counters.is_unavailable = False
    await replica.offend(3)
    assert len(await shared.all()) == 1


async def test_many_at_once_go_out_in_one_round(replica: Replica, counters: MemoryCounters) -> None:
    for number in range(200):
        replica.offences.note(a_session(address=f"192.0.2.{number}"), Offence.UNKNOWN_RECIPIENTS)
    await replica.offences.settle()
    assert counters.rounds == 1


async def test_a_ban_that_the_bucket_does_not_take_holds_at_least_here(replica: Replica, shared: MemoryBans) -> None:
    shared.is_unavailable = True
    await replica.offend(3)
    assert replica.bans.refusal(a_session()) is not None
    shared.is_unavailable = False
    assert await shared.all() == []


def test_a_ban_is_remembered_after_its_end(clock: FrozenClock) -> None:
    ban, keep_until = next_ban(POLICY, Offence.PROTOCOL, "192.0.2.7", None, clock.now(), "one")
    assert keep_until - ban.until == timedelta(seconds=POLICY.memory_seconds)
