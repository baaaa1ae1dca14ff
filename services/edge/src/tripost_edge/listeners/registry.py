"""The sessions of a worker that are open now: their bounds, and how they end when the service drains.

How many there are of a client's network is counted over all edges (`limits.crowd`).

A session counts until its connection is closed, since so long it has a descriptor. One that has ended may linger: its
client has yet to take the last reply and to close. Those are cut off where their places are wanted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from tripost_edge import metrics
from tripost_edge.defence.session_counts import SessionCounts
from tripost_edge.limits.crowd import ALL, Crowded, Standing
from tripost_edge.session import replies
from tripost_shared.mail.client import ListenerKind
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

KIND_SHARE: Final = 0.75  # of all sessions, that those of one kind of listener may be: none shuts the others out
SAY_AGAIN_SECONDS: Final = 10.0


class Dismissable(Protocol):
    """A session as the registry sees it."""

    def dismiss(self) -> None:
        """End at the next moment at which no transaction is open."""
        ...

    def abort(self) -> None:
        """End now."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """What a session counts as. `network` is "" while it is not known, and for clients that are not counted by it."""

    kind: ListenerKind
    network: str = ""


@dataclass(frozen=True, slots=True)
class _Seat:
    """What a session is counted as, and as the how many-th it came."""

    place: Place
    standings: tuple[Standing, ...]


_REFUSALS: Final[Mapping[Crowded, SmtpReply]] = MappingProxyType(
    {
        Crowded.ALL: replies.TOO_MANY_IN_ALL,
        Crowded.NETWORK: replies.TOO_MANY_OF_NETWORK,
        Crowded.WIDE_NETWORK: replies.TOO_MANY_OF_WIDE_NETWORK,
        Crowded.RATE: replies.TOO_OFTEN,
    }
)
_COUNTED_AS: Final[Mapping[Crowded, str]] = MappingProxyType(
    {
        Crowded.ALL: "sessions",
        Crowded.NETWORK: "network",
        Crowded.WIDE_NETWORK: "network",
        Crowded.RATE: "rate",
    }
)


class Registry:
    """Knows all open sessions of this worker; takes no more than `limit`, and no more than `counts` let in anywhere."""

    def __init__(self, limit: int, counts: SessionCounts, is_overloaded: Callable[[], bool] = lambda: False) -> None:
        self.set_limit(limit)
        self._is_overloaded = is_overloaded
        self._counts = counts
        self._crowd = counts.crowd
        self._open: dict[Dismissable, _Seat] = {}
        self._lingering: dict[Dismissable, Place] = {}  # those of the open ones that have ended, oldest first
        self._kinds: Counter[ListenerKind] = Counter()
        self._turned_away = 0  # since it was last said
        self._said_at = -SAY_AGAIN_SECONDS
        self._all_have_ended = asyncio.Event()
        self._all_have_ended.set()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._open)

    def set_limit(self, limit: int) -> None:
        """Put another limit in force; nobody who is in is cut off for that."""
        self._limit = limit
        self._limit_of_kind = max(1, limit - int(limit * (1 - KIND_SHARE)))

    def admit(self, session: Dismissable, place: Place, *, instead_of: Dismissable | None = None) -> SmtpReply | None:
        """Take a session in, in the place of what was counted before it.

        Gives the refusal when there are too many, or when all are dismissed: nobody would dismiss this one.
        """
        if instead_of is not None:
            seat = self._open.pop(instead_of, None)
            if seat is not None and not self.is_draining:
                self._open[session] = seat
                return None
            self._give_up(seat)
        refusal = self._refusal(place)
        if refusal is None:
            standings = tuple(self._crowd.enter(network) for network in (ALL, place.network) if network)
            self._open[session] = _Seat(place, standings)
            self._kinds[place.kind] += 1
            self._counts.changed()
            self._all_have_ended.clear()
        metrics.sessions_open.set(len(self._open))
        return refusal

    def locate(self, session: Dismissable, network: str) -> SmtpReply | None:
        """Count a session that is open to the network that it turned out to come from; gives the refusal, as `admit`.

        A refused one stays counted as before, until it leaves.
        """
        seat = self._open.get(session)
        if seat is None:
            return self._turn_away(replies.TOO_MANY_OF_NETWORK, network, "network")
        refusal = self._crowded(network)
        if refusal is None:
            place = Place(seat.place.kind, network)
            self._open[session] = _Seat(place, (*seat.standings, self._crowd.enter(network)))
            self._counts.changed()
        return refusal

    async def confirm(self, session: Dismissable) -> SmtpReply | None:
        """Ask the other workers, where one more makes the difference; gives the refusal when it is one too many."""
        seat = self._open.get(session)
        if seat is None or not any(self._crowd.is_near(standing) for standing in seat.standings):
            return None
        crowded = await self._counts.crowded(seat.standings)
        if crowded is None or self._open.get(session) is not seat:
            return None
        for standing in seat.standings:
            self._crowd.withdraw(standing.network)
        self._stand_down(seat)
        self._open[session] = _Seat(Place(seat.place.kind), ())  # it still has a descriptor
        return self._turn_away(_REFUSALS[crowded], seat.place.network, _COUNTED_AS[crowded])

    def linger(self, session: Dismissable) -> None:
        """Note that a session has ended and waits for its client to close; it leaves when it has."""
        seat = self._open.get(session)
        if seat is not None:
            self._lingering[session] = seat.place
            self._look_for_the_end()

    def leave(self, session: Dismissable) -> None:
        """Let a session go whose connection is closed."""
        self._forget(session)
        metrics.sessions_open.set(len(self._open))
        self._look_for_the_end()

    async def drain(self) -> None:
        """Dismiss all sessions and wait until they have ended; those in a transaction finish it first.

        Those that linger then have been told what there was to tell: nobody waits for them.
        """
        self.is_draining = True
        for session in list(self._open):
            session.dismiss()
        await self._all_have_ended.wait()

    def abort(self) -> None:
        """Cut off whoever is left, and whoever lingers."""
        for session in list(self._open):
            session.abort()

    def _refusal(self, place: Place) -> SmtpReply | None:
        if self.is_draining:
            return replies.SHUTTING_DOWN
        if self._is_overloaded():
            return self._turn_away(replies.OVERLOADED, place.network, "load")
        crowded = self._crowded(ALL) or (self._crowded(place.network) if place.network else None)
        if crowded is not None:
            return crowded
        kind = place.kind
        has_room = self._kinds[kind] < self._limit_of_kind or self._cut_off_one(lambda other: other.kind is kind)
        if not has_room or (len(self._open) >= self._limit and not self._cut_off_one(lambda _: True)):
            return self._turn_away(replies.TOO_MANY_SESSIONS, place.network, "sessions")
        return None

    def _crowded(self, network: str) -> SmtpReply | None:
        """Give the refusal where one more of the network is too many, also once those that linger were cut off."""
        crowded = self._crowd.crowded(network)
        if crowded is None:
            return None
        if crowded is not Crowded.RATE and self._cut_off_one(lambda other: network in {ALL, other.network}):
            crowded = self._crowd.crowded(network)
        return None if crowded is None else self._turn_away(_REFUSALS[crowded], network, _COUNTED_AS[crowded])

    def _cut_off_one(self, is_wanted: Callable[[Place], bool]) -> bool:
        """Give a place back whose session lingers, the one that has for longest; says whether there is one."""
        for session, place in self._lingering.items():
            if is_wanted(place):
                self._forget(session)
                session.abort()
                return True
        return False

    def _look_for_the_end(self) -> None:
        if len(self._open) == len(self._lingering):
            self._all_have_ended.set()

    def _forget(self, session: Dismissable) -> None:
        self._lingering.pop(session, None)
        self._give_up(self._open.pop(session, None))

    def _give_up(self, seat: _Seat | None) -> None:
        if seat is not None:
            self._kinds[seat.place.kind] -= 1
            self._stand_down(seat)

    def _stand_down(self, seat: _Seat) -> None:
        for standing in seat.standings:
            self._crowd.leave(standing.network)
        if seat.standings:
            self._counts.changed()

    def _turn_away(self, reply: SmtpReply, network: str, reason: str) -> SmtpReply:
        """Count a client that is turned away; said now and then only, since it may be an attack."""
        metrics.turned_away[reason].inc()
        self._turned_away += 1
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= SAY_AGAIN_SECONDS:
            log.warning(
                "clients turned away", latest=network, clients=self._turned_away, reply=str(reply), open=len(self._open)
            )
            self._said_at, self._turned_away = now, 0
        return reply
