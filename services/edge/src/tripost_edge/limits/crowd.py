"""How many sessions of a client's network there are, and how many it begins a minute, in all workers of all edges.

Each worker counts its own sessions, and hears what the others count. Where two let sessions in at the same moment,
the order in which their tellings are heard decides (`Standing`): who was told of later sees the other one.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from ipaddress import ip_network
from typing import Final

from tripost_shared.clock import Clock
from tripost_shared.contracts.edges import NetworkSessions, SessionsTold
from tripost_shared.edge_limits import EdgeLimits

ALL: Final = "*"
MINUTE: Final = 60.0
MOST_RATED: Final = 100_000  # networks whose connections are counted within a minute; others have no rate
NEAR_SHARE: Final = 0.5  # of a limit, from which on the others are asked before a session is let in
NEAR_COUNT: Final = 32  # or so few below it
DENSE_COUNT: Final = 4  # sessions of one network in this worker, from which on each is told at once
WIDE_PREFIX: Final = {4: 24, 6: 48}


class Crowded(Enum):
    """What there is too much of."""

    ALL = auto()
    NETWORK = auto()
    WIDE_NETWORK = auto()
    RATE = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a session came: as the how many-th of this worker, of each of its networks; and how many were begun."""

    network: str
    open: tuple[int, ...]
    begun: tuple[float, ...]


@dataclass(slots=True)
class _Rate:
    """Connections of this minute and the one before, by network."""

    current: Counter[str] = field(default_factory=Counter)
    previous: Counter[str] = field(default_factory=Counter)

    def add(self, key: str, amount: int) -> None:
        if key in self.current or len(self.current) < MOST_RATED:
            self.current[key] += amount

    def turn(self, minutes: int) -> None:
        self.previous = self.current if minutes == 1 else Counter()
        self.current = Counter()

    def of(self, key: str, share_of_previous: float) -> float:
        return self.current[key] + share_of_previous * self.previous[key]


class Crowd:
    """Counts. `limits` may be replaced at any time."""

    def __init__(self, clock: Clock, limits: EdgeLimits) -> None:
        self.limits = limits
        self._clock = clock
        self._minute_began = clock.monotonic()
        self._own: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._of_workers: dict[str, dict[str, int]] = {}
        self._own_rate = _Rate()
        self._others_rate = _Rate()
        self._begun: Counter[str] = Counter()  # since it was told
        self._changed: set[str] = set()

    @property
    def is_alone(self) -> bool:
        """Whether no other worker has told anything."""
        return not self._of_workers

    @property
    def workers(self) -> Mapping[str, object]:
        """The others, by their names."""
        return self._of_workers

    def enter(self, network: str) -> Standing:
        """Count a session, which begins."""
        self._turn()
        share = self._share()
        keys = _keys(network)
        for key in keys:
            self._own[key] += 1
            self._own_rate.add(key, 1)
        self._begun[network] += 1
        self._changed.add(network)
        return Standing(
            network, tuple(self._own[key] for key in keys), tuple(self._own_rate.of(key, share) for key in keys)
        )

    def leave(self, network: str) -> None:
        """Count a session no more."""
        for key in _keys(network):
            self._own[key] -= 1
            if not self._own[key]:
                del self._own[key]
        self._changed.add(network)

    def withdraw(self, network: str) -> None:
        """Count a session not even as begun: it was refused. It still has to leave."""
        for key in _keys(network):
            self._own_rate.add(key, -1)
        self._begun[network] -= 1
        self._changed.add(network)

    def crowded(self, network: str) -> Crowded | None:
        """Tell whether one more session would be too many, as far as is known now."""
        self._turn()
        share = self._share()
        for key, most, reason in self._open_limits(network):
            if 0 < most <= self._own[key] + self._others[key]:
                return reason
        for key, most in self._rate_limits(network):
            if 0 < most <= self._own_rate.of(key, share) + self._others_rate.of(key, share):
                return Crowded.RATE
        return None

    def is_near(self, standing: Standing) -> bool:
        """Whether what others may have let in at the same moment can make a difference."""
        if self.is_alone:
            return False
        share = self._share()
        network = standing.network
        for key, most, _ in self._open_limits(network):
            is_dense = key == network != ALL and self._own[key] >= DENSE_COUNT
            if most and (is_dense or _is_near(self._own[key] + self._others[key], most)):
                return True
        return any(
            _is_near(self._own_rate.of(key, share) + self._others_rate.of(key, share), most)
            for key, most in self._rate_limits(network)
        )

    def was_crowded(self, standing: Standing) -> Crowded | None:
        """Tell whether a session is one too many, now that all is known that was told before it was."""
        share = self._share()
        network = standing.network
        for (key, most, reason), own in zip(self._open_limits(network), standing.open, strict=True):
            if 0 < most < min(own, self._own[key]) + self._others[key]:
                return reason
        for (key, most), begun in zip(self._rate_limits(network), standing.begun, strict=False):
            if 0 < most < begun + self._others_rate.of(key, share):
                return Crowded.RATE
        return None

    def changes(self, worker: str, number: int, *, whole: bool = False) -> SessionsTold:
        """Give what is to be told, as told."""
        networks = {key for key in self._own if not _is_wide(key)} | self._changed if whole else self._changed
        told = {key: NetworkSessions(self._own[key], self._begun[key]) for key in networks}
        self._changed = set()
        self._begun = Counter()
        return SessionsTold(worker, number, told, whole)

    @property
    def has_changed(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._changed)

    def hear(self, told: SessionsTold) -> None:
        """Take what another worker tells."""
        self._turn()
        known = self._of_workers.setdefault(told.worker, {})
        if told.whole:
            for network in known.keys() - told.networks.keys():
                self._set(known, network, 0)
        for network, sessions in told.networks.items():
            self._set(known, network, max(0, sessions.open))
            for key in _keys(network) if sessions.begun else ():
                self._others_rate.add(key, sessions.begun)

    def forget(self, worker: str) -> None:
        """Count nothing of a worker that is gone."""
        known = self._of_workers.pop(worker, {})
        for network in list(known):
            self._set(known, network, 0)

    def _set(self, known: dict[str, int], network: str, count: int) -> None:
        difference = count - known.get(network, 0)
        if count:
            known[network] = count
        else:
            known.pop(network, None)
        if difference:
            for key in _keys(network):
                self._others[key] += difference
                if not self._others[key]:
                    del self._others[key]

    def _open_limits(self, network: str) -> tuple[tuple[str, int, Crowded], ...]:
        limits = self.limits
        if network == ALL:
            return ((ALL, limits.sessions_of_all_edges, Crowded.ALL),)
        narrow, wide = _keys(network)
        return (
            (narrow, limits.sessions_per_network, Crowded.NETWORK),
            (wide, limits.sessions_per_wide_network, Crowded.WIDE_NETWORK),
        )

    def _rate_limits(self, network: str) -> tuple[tuple[str, int], ...]:
        if network == ALL:
            return ()
        narrow, wide = _keys(network)
        limits = self.limits
        return (
            (narrow, limits.connections_per_minute_of_network),
            (wide, limits.connections_per_minute_of_wide_network),
        )

    def _turn(self) -> None:
        minutes = int((self._clock.monotonic() - self._minute_began) // MINUTE)
        if minutes:
            self._minute_began += minutes * MINUTE
            self._own_rate.turn(minutes)
            self._others_rate.turn(minutes)

    def _share(self) -> float:
        return max(0.0, 1.0 - (self._clock.monotonic() - self._minute_began) / MINUTE)


def _is_near(count: float, most: int) -> bool:
    return most > 0 and (count >= most * NEAR_SHARE or most - count <= NEAR_COUNT)


@lru_cache(maxsize=8192)
def _keys(network: str) -> tuple[str, ...]:
    """Give what a session of this network counts to: the network itself, and the wide one that it is in."""
    if network == ALL:
        return (ALL,)
    parsed = ip_network(network)
    return network, str(parsed.supernet(new_prefix=WIDE_PREFIX[parsed.version]))


def _is_wide(key: str) -> bool:
    return key != ALL and key.endswith(("/24", "/48"))
