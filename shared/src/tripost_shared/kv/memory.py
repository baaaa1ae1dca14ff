"""A bucket in memory, for tests."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import count

from tripost_shared.clock import Clock
from tripost_shared.kv.port import BucketUnavailable, Conflict


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """A value, its revision, and when it ends (seconds of the clock's `monotonic`)."""

    value: bytes
    revision: int
    ends_at: float


class MemoryBucket:
    """Keys and values in a dictionary; they expire by the clock given. `is_unavailable` makes every call fail."""

    def __init__(self, clock: Clock) -> None:
        self.is_unavailable = False
        self._clock = clock
        self._entries: dict[str, MemoryEntry] = {}
        self._revisions = count(1)

    async def get(self, key: str) -> MemoryEntry | None:
        """Give the entry; None when there is none or it has expired."""
        if self.is_unavailable:
            raise BucketUnavailable("told to be unavailable")
        entry = self._entries.get(key)
        if entry is not None and entry.ends_at <= self._clock.monotonic():
            del self._entries[key]
            return None
        return entry

    async def create(self, key: str, value: bytes, ttl: timedelta) -> int:
        """Write a key that must not exist."""
        if await self.get(key) is not None:
            raise Conflict(key)
        return self._write(key, value, ttl)

    async def update(self, key: str, value: bytes, revision: int, ttl: timedelta) -> int:
        """Write over exactly that revision."""
        entry = await self.get(key)
        if entry is None or entry.revision != revision:
            raise Conflict(key)
        return self._write(key, value, ttl)

    async def delete(self, key: str) -> None:
        """Forget the key."""
        await self.get(key)
        self._entries.pop(key, None)

    async def keys(self) -> list[str]:
        """List the keys that have not expired."""
        return [key for key in list(self._entries) if await self.get(key) is not None]

    def _write(self, key: str, value: bytes, ttl: timedelta) -> int:
        revision = next(self._revisions)
        self._entries[key] = MemoryEntry(value, revision, self._clock.monotonic() + ttl.total_seconds())
        return revision
