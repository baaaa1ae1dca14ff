"""What is remembered of the directory: bounded, for a short time, a little longer while the database is away."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Generic, NamedTuple, TypeVar

from tripost_shared.clock import Clock

Key = TypeVar("Key", bound=Hashable)
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How much is remembered, how long it counts as true, and how long it is better than no answer."""

    at_most: int = 50_000
    fresh_for: timedelta = timedelta(seconds=60)
    stale_for: timedelta = timedelta(minutes=10)


class Trust(Enum):
    """Which records are taken from memory."""

    FRESH = auto()  # that count as true
    UNCHANGED = auto()  # for want of better ones, but none that a change may have touched
    STALE = auto()  # for want of better ones


class _Entry(NamedTuple, Generic[Record]):
    record: Record
    read_at: float
    generation: int


class RecordCache(Generic[Key, Record]):
    """Records by key; the one unused for longest goes first.

    A change of the directory makes all of them stale. From then on a record that denies something (`affirms` is false)
    is worth nothing: it would refuse mail for a mailbox that was just made.
    """

    def __init__(self, clock: Clock, limits: CacheLimits, affirms: Callable[[Record], bool]) -> None:
        self._clock = clock
        self._limits = limits
        self._affirms = affirms
        self._entries: dict[Key, _Entry[Record]] = {}
        self.generation = 0

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, key: Key, trust: Trust) -> Record | None:
        """Give a record that may be trusted so far."""
        match trust:
            case Trust.FRESH:
                return self.fresh(key)
            case Trust.UNCHANGED:
                return self.stale(key) if self._is_unchanged(key) else None
            case Trust.STALE:
                return self.stale(key)

    def fresh(self, key: Key) -> Record | None:
        """Give a record that counts as true."""
        entry = self._entries.get(key)
        if entry is None or entry.generation != self.generation:
            return None
        if self._age(entry) > self._limits.fresh_for.total_seconds():
            return None
        self._entries[key] = self._entries.pop(key)  # last in the order: used last
        return entry.record

    def stale(self, key: Key) -> Record | None:
        """Give a record for want of a better one."""
        entry = self._entries.get(key)
        if entry is None or self._age(entry) > self._limits.stale_for.total_seconds():
            return None
        return entry.record if entry.generation == self.generation or self._affirms(entry.record) else None

    def put(self, key: Key, record: Record, generation: int) -> None:
        """Remember a record whose reading began in that generation."""
        self._entries.pop(key, None)
        self._entries[key] = _Entry(record, self._clock.monotonic(), generation)
        if len(self._entries) > self._limits.at_most:
            del self._entries[next(iter(self._entries))]

    def expire(self) -> None:
        """Note that the directory has changed."""
        self.generation += 1

    def _is_unchanged(self, key: Key) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.generation == self.generation

    def _age(self, entry: _Entry[Record]) -> float:
        return self._clock.monotonic() - entry.read_at
