"""How many sessions there may be: in all, of one kind of listener, and of one client network."""

import asyncio

import pytest

from tripost_edge.defence.session_counts import SessionCounts
from tripost_edge.firewall.networks import Networks, RelayAccess
from tripost_edge.limits.crowd import Crowd
from tripost_edge.listeners.registry import Place, Registry
from tripost_edge.session import replies
from tripost_shared.bus.memory_telling import MemoryTelling
from tripost_shared.clock import FrozenClock
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.mail.client import ListenerKind

MX = Place(ListenerKind.MX)
SUBMISSION = Place(ListenerKind.SUBMISSION)
NEAR = Place(ListenerKind.MX, "192.0.2.7")
FAR = Place(ListenerKind.MX, "198.51.100.7")


def a_registry(limit: int, per_network: int) -> Registry:
    """A registry that is alone."""
    clock = FrozenClock()
    crowd = Crowd(clock, EdgeLimits(sessions_per_network=per_network))
    return Registry(limit, SessionCounts(crowd, MemoryTelling(), clock))


class Quiet:
    """A session that does nothing."""

    def __init__(self) -> None:
        self.is_cut_off = False

    def dismiss(self) -> None:
        return None

    def abort(self) -> None:
        self.is_cut_off = True


def admitted(registry: Registry, place: Place, count: int) -> list[Quiet]:
    """Let so many sessions come; gives those that were taken in."""
    sessions = [Quiet() for _ in range(count)]
    return [session for session in sessions if registry.admit(session, place) is None]


async def test_one_kind_of_listener_never_shuts_the_other_out() -> None:
    registry = a_registry(limit=8, per_network=0)
    assert len(admitted(registry, MX, 20)) == 6
    assert len(admitted(registry, SUBMISSION, 20)) == 2
    assert registry.admit(Quiet(), SUBMISSION) == replies.TOO_MANY_SESSIONS


async def test_a_network_has_so_many_sessions_and_gets_places_back() -> None:
    registry = a_registry(limit=100, per_network=3)
    sessions = admitted(registry, NEAR, 5)
    assert len(sessions) == 3
    assert registry.admit(Quiet(), NEAR) == replies.TOO_MANY_OF_NETWORK
    assert len(admitted(registry, FAR, 5)) == 3
    registry.leave(sessions[0])
    registry.leave(sessions[0])
    assert len(admitted(registry, NEAR, 5)) == 1


async def test_a_session_takes_over_the_place_of_its_handshake() -> None:
    registry = a_registry(limit=1, per_network=1)
    registry.admit(handshake := Quiet(), NEAR)
    assert registry.admit(Quiet(), NEAR, instead_of=handshake) is None
    assert len(registry) == 1


async def test_a_session_is_counted_to_the_network_that_a_proxy_announces() -> None:
    registry = a_registry(limit=100, per_network=2)
    sessions = admitted(registry, MX, 3)
    assert [registry.locate(session, "192.0.2.7") for session in sessions] == [None, None, replies.TOO_MANY_OF_NETWORK]
    assert registry.admit(Quiet(), NEAR) == replies.TOO_MANY_OF_NETWORK
    for session in sessions:
        registry.leave(session)
    assert len(registry) == 0
    assert registry.admit(Quiet(), NEAR) is None


@pytest.mark.parametrize(
    ("limit", "per_network", "lingering", "newcomer"),
    [
        pytest.param(100, 2, [NEAR, NEAR], NEAR, id="of its network"),
        pytest.param(8, 0, [FAR] * 6, NEAR, id="of its kind"),
        pytest.param(8, 0, [*[FAR] * 6, *[SUBMISSION] * 2], SUBMISSION, id="of all"),
    ],
)
async def test_sessions_that_linger_count_and_make_room_when_it_is_wanted(
    limit: int, per_network: int, lingering: list[Place], newcomer: Place
) -> None:
    """The one that has lingered for longest goes first; when all converse, nobody makes room."""
    registry = a_registry(limit, per_network)
    sessions = [session for place in lingering for session in admitted(registry, place, 1)]
    assert registry.admit(Quiet(), newcomer) is not None
    for session in sessions:
        registry.linger(session)
    assert len(registry) == len(lingering)
    assert registry.admit(Quiet(), newcomer) is None
    assert [session.is_cut_off for session in sessions] == [True] + [False] * (len(sessions) - 1)
    assert len(registry) == len(lingering)


async def test_a_network_that_a_proxy_announces_makes_room_too() -> None:
    registry = a_registry(limit=100, per_network=1)
    registry.admit(first := Quiet(), MX)
    registry.locate(first, "192.0.2.7")
    registry.linger(first)
    registry.admit(second := Quiet(), MX)
    assert registry.locate(second, "192.0.2.7") is None
    assert first.is_cut_off
    assert not second.is_cut_off


async def test_nobody_waits_for_the_sessions_that_linger() -> None:
    registry = a_registry(limit=100, per_network=0)
    registry.admit(lingers := Quiet(), NEAR)
    registry.admit(converses := Quiet(), NEAR)
    registry.linger(lingers)
    draining = asyncio.ensure_future(registry.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    registry.linger(converses)
    async with asyncio.timeout(5):
        await draining
    assert len(registry) == 2


async def test_who_comes_while_all_are_dismissed_is_turned_away() -> None:
    """A TLS handshake may end just then."""
    registry = a_registry(limit=100, per_network=0)
    registry.admit(handshake := Quiet(), NEAR)
    draining = asyncio.ensure_future(registry.drain())
    await asyncio.sleep(0)
    assert registry.admit(Quiet(), NEAR, instead_of=handshake) == replies.SHUTTING_DOWN
    registry.leave(handshake)
    async with asyncio.timeout(5):
        await draining


@pytest.mark.parametrize(
    ("address", "announced", "network"),
    [
        ("192.0.2.7", False, "192.0.2.7"),
        ("2001:db8::1:2", False, "2001:db8::/64"),
        ("127.0.0.1", False, ""),
        ("::1", False, ""),
        ("127.0.0.1", True, "127.0.0.1"),
        ("10.1.2.3", False, ""),
        ("10.1.2.3", True, ""),
    ],
)
def test_clients_of_our_own_are_not_counted(address: str, announced: bool, network: str) -> None:
    relay = RelayAccess()
    relay.replace(Networks(["10.0.0.0/8"]))
    assert relay.counted_network(address, announced_by_proxy=announced) == network
