"""What the log is told of those who wait: hundreds may wait for one thing, and a line for each try is no news."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

import structlog

log = structlog.get_logger()

FIRST_PAUSE_SECONDS: Final = 10.0  # between two lines; it doubles
LONGEST_PAUSE_SECONDS: Final = 600.0
PAUSE_AFTER_END_SECONDS: Final = 60.0  # at most: what begins again so soon is told late
QUIET_SECONDS: Final = 60.0  # without a failure: what comes then is a new trouble


class WaitingLog:
    """Tells of all who wait for one task: that one waits, that it lasts, that it goes on lasting, that it is over.

    Times are the event loop's, in seconds.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._waiting = 0
        self._failed_at = float("-inf")
        self._began_at = 0.0
        self._told_at = 0.0
        self._pause = 0.0
        self._lasts = False
        self._end_is_news = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count one more who waits."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def failed(self, now: float, because: str, *, lasts: bool) -> None:
        """Note that one who waits has tried in vain; `lasts`: for so long that somebody should look at it."""
        if now - self._failed_at >= QUIET_SECONDS:
            self._began_at, self._told_at, self._pause, self._lasts = now, now, 0.0, False
        self._failed_at = now
        begins_to_last = lasts and not self._lasts
        self._lasts |= lasts
        if now < self._told_at + self._pause and not begins_to_last:
            return
        self._told_at = now
        self._pause = min(max(self._pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        facts = {"task": self._task, "because": because, "waiting": self._waiting}
        if self._lasts:
            self._end_is_news = True
            log.warning("still waiting", **facts, for_seconds=round(now - self._began_at))
        else:
            log.info("waiting", **facts)

    def done(self, now: float) -> None:
        """Note that one who waited has got what it waited for."""
        if self._waiting == 1 and self._end_is_news:
            self._end_is_news = False
            self._pause = min(self._pause, PAUSE_AFTER_END_SECONDS)
            log.info("nothing waits any more", task=self._task, after_seconds=round(now - self._began_at))


_logs: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, WaitingLog]] = WeakKeyDictionary()


def waiting_log(task: str) -> WaitingLog:
    """Give the one of all who wait for this task in the running event loop; tasks are few, and named in the code."""
    logs = _logs.setdefault(asyncio.get_running_loop(), {})
    return logs.setdefault(task, WaitingLog(task))
