"""The sessions of a worker that are open now: their bound, and how they end when the service drains."""

import asyncio
from typing import Protocol

from tripost_edge import metrics


class Dismissable(Protocol):
    """A session as the registry sees it."""

    def dismiss(self) -> None:
        """End at the next moment at which no transaction is open."""
        ...

    def abort(self) -> None:
        """End now."""
        ...


class Registry:
    """Knows all open sessions, and takes no more than `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Dismissable] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, session: Dismissable, *, instead_of: Dismissable | None = None) -> bool:
        """Take a session in, in the place of what was counted before it; False when there are too many."""
        if instead_of is not None:
            self._open.discard(instead_of)
        if len(self._open) >= self._limit:
            metrics.sessions_turned_away.inc()
            return False
        self._open.add(session)
        self._is_empty.clear()
        metrics.sessions_open.set(len(self._open))
        return True

    def leave(self, session: Dismissable) -> None:
        """Let a session go."""
        self._open.discard(session)
        metrics.sessions_open.set(len(self._open))
        if not self._open:
            self._is_empty.set()

    async def drain(self) -> None:
        """Dismiss all sessions and wait until they have gone; those in a transaction finish it first."""
        self.is_draining = True
        for session in list(self._open):
            session.dismiss()
        await self._is_empty.wait()

    def abort(self) -> None:
        """Cut off whoever is left."""
        for session in list(self._open):
            session.abort()
