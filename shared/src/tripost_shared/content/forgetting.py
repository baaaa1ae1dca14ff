"""Forgetting the content of messages that are done with: some time later, since another replica may still read it."""

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog

from tripost_shared.clock import Clock
from tripost_shared.content.port import ContentUnavailable

log = structlog.get_logger()

FORGET_AFTER: Final = timedelta(minutes=10)  # SPOOL may give a message once more when an acknowledgement got lost
MAX_TO_FORGET: Final = 50_000  # what does not fit is left to domains' sweep, as is what a crash forgets


class _Due(NamedTuple):
    """An object to be deleted from `at` (monotonic) on; `was_refused`: that was tried before."""

    at: float
    name: str
    was_refused: bool = False


class Forgetting:
    """Remembers which objects are to be deleted, and when.

    `delete` removes the object of a name unless it was committed after a time, and raises ContentUnavailable.
    """

    def __init__(self, delete: Callable[[str, datetime], Awaitable[None]], clock: Clock) -> None:
        self._delete = delete
        self._clock = clock
        self._to_forget: deque[_Due] = deque()

    def forget_later(self, content: str) -> None:
        """Delete an object some time after its message was settled or dropped."""
        if len(self._to_forget) < MAX_TO_FORGET:
            self._to_forget.append(_Due(self._some_time_from_now(), content))

    async def forget_due(self, is_wanted: Callable[[str], Awaitable[bool]]) -> None:
        """Delete what is due, but for what the queue refers to after all; raises what `is_wanted` raises.

        What cannot be deleted has another turn behind all others: it may be this object, or the store is away.

        An object that was committed lately stays: its message came again, and its row may not be there yet. Half the
        time is left to clocks that differ.
        """
        committed_by = self._clock.now() - FORGET_AFTER / 2
        while self._to_forget and self._to_forget[0].at <= self._clock.monotonic():
            due = self._to_forget[0]
            if not await is_wanted(due.name):
                try:
                    await self._delete(due.name, committed_by)
                except ContentUnavailable as error:
                    if not due.was_refused:
                        log.warning("content cannot be deleted, later again", content=due.name, because=str(error))
                    self._to_forget.popleft()
                    self._to_forget.append(_Due(self._some_time_from_now(), due.name, was_refused=True))
                    return
            self._to_forget.popleft()

    def _some_time_from_now(self) -> float:
        return self._clock.monotonic() + FORGET_AFTER.total_seconds()
