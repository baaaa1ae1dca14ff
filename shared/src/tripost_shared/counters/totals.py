"""Counts without a window, which are kept for good: on disk, and over all replicas."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from tripost_shared.clock import Clock
from tripost_shared.counters.port import CountersUnavailable


class Total(NamedTuple):
    """How far a count has come, and when it was last added to."""

    total: int
    changed_at: datetime


class Totals(Protocol):
    """Counts by kind and key, each of `[a-z0-9-]`, a key with dots too. All methods raise CountersUnavailable."""

    async def add_all(self, kind: str, amounts: Mapping[str, int]) -> None:
        """Add to counts of a kind, by their keys; when that fails some may have been added to."""
        ...

    async def all(self, kind: str) -> dict[str, Total]:
        """Give all counts of a kind."""
        ...


class MemoryTotals:
    """Counts in a dictionary, for tests. `is_unavailable` makes every call fail."""

    def __init__(self, clock: Clock) -> None:
        self.is_unavailable = False
        self._clock = clock
        self._totals = Counter[tuple[str, str]]()
        self._changed_at: dict[tuple[str, str], datetime] = {}

    async def add_all(self, kind: str, amounts: Mapping[str, int]) -> None:
        """Add to counts."""
        self._require_available()
        for key, amount in amounts.items():
            self._totals[kind, key] += amount
            self._changed_at[kind, key] = self._clock.now()

    async def all(self, kind: str) -> dict[str, Total]:
        """Give all counts of a kind."""
        self._require_available()
        return {
            key: Total(total, self._changed_at[of_kind, key])
            for (of_kind, key), total in self._totals.items()
            if of_kind == kind
        }

    def _require_available(self) -> None:
        if self.is_unavailable:
            raise CountersUnavailable("told to be unavailable")
