"""The sessions of a worker that are open now: their bounds, and how they end when the service drains.

A session counts until its connection is closed, since so long it has a descriptor. One that has ended may linger: its
client has yet to take the last reply and to close. Those are cut off where their places are wanted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from tripost_edge import metrics
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


class Registry:
    """Knows all open sessions; takes no more than `limit`, and of one client network no more than `per_network`.

    A `per_network` of 0 is no limit.
    """

    def __init__(self, limit: int, per_network: int) -> None:
        self.set_limits(limit, per_network)
        self._open: dict[Dismissable, Place] = {}
        self._lingering: dict[Dismissable, Place] = {}  # those of the open ones that have ended, oldest first
        self._kinds: Counter[ListenerKind] = Counter()
        self._networks: Counter[str] = Counter()
        self._turned_away = 0  # since it was last said
        self._said_at = -SAY_AGAIN_SECONDS
        self._all_have_ended = asyncio.Event()
        self._all_have_ended.set()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._open)

    def set_limits(self, limit: int, per_network: int) -> None:
        """Put other limits in force; nobody who is in is cut off for that."""
        self._limit = limit
        self._limit_of_kind = max(1, limit - int(limit * (1 - KIND_SHARE)))
        self._per_network = per_network

    def admit(self, session: Dismissable, place: Place, *, instead_of: Dismissable | None = None) -> SmtpReply | None:
        """Take a session in, in the place of what was counted before it.

        Gives the refusal when there are too many, or when all are dismissed: nobody would dismiss this one.
        """
        if instead_of is not None:
            self._forget(instead_of)
        refusal = self._refusal(place)
        if refusal is None:
            self._open[session] = place
            self._kinds[place.kind] += 1
            self._count(place.network)
            self._all_have_ended.clear()
        metrics.sessions_open.set(len(self._open))
        return refusal

    def locate(self, session: Dismissable, network: str) -> SmtpReply | None:
        """Count a session that is open to the network that it turned out to come from; gives the refusal, as `admit`.

        A refused one stays counted as before, until it leaves.
        """
        place = self._open.get(session)
        if place is None or not self._has_room_for(network):
            return self._turn_away(replies.TOO_MANY_OF_NETWORK, network)
        self._open[session] = Place(place.kind, network)
        self._count(network)
        return None

    def linger(self, session: Dismissable) -> None:
        """Note that a session has ended and waits for its client to close; it leaves when it has."""
        place = self._open.get(session)
        if place is not None:
            self._lingering[session] = place
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
        if not self._has_room_for(place.network):
            return self._turn_away(replies.TOO_MANY_OF_NETWORK, place.network)
        kind = place.kind
        has_room = self._kinds[kind] < self._limit_of_kind or self._cut_off_one(lambda other: other.kind is kind)
        if not has_room or (len(self._open) >= self._limit and not self._cut_off_one(lambda _: True)):
            return self._turn_away(replies.TOO_MANY_SESSIONS, place.network)
        return None

    def _has_room_for(self, network: str) -> bool:
        is_full = bool(network) and 0 < self._per_network <= self._networks[network]
        return not is_full or self._cut_off_one(lambda other: other.network == network)

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

    def _count(self, network: str) -> None:
        if network:
            self._networks[network] += 1

    def _forget(self, session: Dismissable) -> None:
        place = self._open.pop(session, None)
        if place is None:
            return
        self._lingering.pop(session, None)
        self._kinds[place.kind] -= 1
        if place.network:
            self._networks[place.network] -= 1
            if not self._networks[place.network]:
                del self._networks[place.network]

    def _turn_away(self, reply: SmtpReply, network: str) -> SmtpReply:
        """Count a client that is turned away; said now and then only, since it may be an attack."""
        metrics.turned_away["sessions" if reply is replies.TOO_MANY_SESSIONS else "network"].inc()
        self._turned_away += 1
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= SAY_AGAIN_SECONDS:
            log.warning(
                "clients turned away", latest=network, clients=self._turned_away, reply=str(reply), open=len(self._open)
            )
            self._said_at, self._turned_away = now, 0
        return reply
