"""Counts in memory, for tests."""

from collections import Counter
from collections.abc import Sequence

from tripost_shared.clock import Clock
from tripost_shared.counters.port import (
    LONGEST_WINDOW_SECONDS,
    OURS,
    Count,
    CountersUnavailable,
    Tally,
    count_at,
    window_at,
)


class MemoryCounters:
    """Counts in a dictionary, in the windows of the clock given. `is_unavailable` makes every call fail.

    `rounds` tells how often something was added, however many counts at once.
    """

    def __init__(self, clock: Clock) -> None:
        self.is_unavailable = False
        self.rounds = 0
        self._clock = clock
        self._totals = Counter[Count]()

    async def add(self, kind: str, key: str, window_seconds: int, amount: int = 1, group: str = OURS) -> int:
        """Add to the count of the window that is now; gives its new total."""
        return (await self.add_all([(count_at(self._clock.now(), kind, key, window_seconds, group), amount)]))[0]

    async def add_all(self, increments: Sequence[tuple[Count, int]]) -> list[int]:
        """Add to several counts; gives their new totals."""
        self._require([count for count, _ in increments])
        self.rounds += 1
        totals = []
        for count, amount in increments:
            self._totals[count] += amount
            totals.append(self._totals[count])
        return totals

    async def read(self, kind: str, key: str, window_seconds: int, group: str = OURS) -> int:
        """Give the total of the window that is now."""
        return (await self.read_all([count_at(self._clock.now(), kind, key, window_seconds, group)]))[0]

    async def read_all(self, counts: Sequence[Count]) -> list[int]:
        """Give the totals of several counts."""
        self._require(counts)
        return [self._totals[count] for count in counts]

    async def tallies(self, kind: str) -> list[Tally]:
        """List a kind's counts, of this window and the one before."""
        self._require([])
        now = self._clock.now()
        return [
            Tally(count, total)
            for count, total in self._totals.items()
            if count.kind == kind and count.number >= window_at(now, count.window_seconds) - 1
        ]

    def _require(self, counts: Sequence[Count]) -> None:
        if self.is_unavailable:
            raise CountersUnavailable("told to be unavailable")
        for count in counts:
            if count.window_seconds > LONGEST_WINDOW_SECONDS:
                raise ValueError(f"a window of {count.window_seconds} s: {LONGEST_WINDOW_SECONDS} s at most")
