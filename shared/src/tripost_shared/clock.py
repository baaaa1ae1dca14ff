"""Time as a thing that is passed in, so that tests can move it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where a service reads the time."""

    def now(self) -> datetime:
        """Give the wall clock's time in UTC; it may jump."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go back, for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Give the wall clock's time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds that never go back."""
        return time.monotonic()


class FrozenClock:
    """A clock that moves only when told to, for tests."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """Give the time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Give seconds that move with `advance` alone."""
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self._now += by
        self._monotonic += by.total_seconds()
