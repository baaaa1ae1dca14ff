"""The content store in memory, for tests."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from tripost_shared.clock import Clock, SystemClock
from tripost_shared.content.port import ContentDamaged, ContentMissing, ContentUnavailable, ContentWriter, StoredObject
from tripost_shared.mail.content import Content


class MemoryContentStore:
    """Objects in a dictionary; `is_unavailable` lets a test make every call fail."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.is_unavailable = False
        self._clock = clock or SystemClock()
        self._objects: dict[str, tuple[bytes, StoredObject]] = {}

    def writer(self, name: str) -> ContentWriter:
        """Begin an object."""
        return MemoryContentWriter(self, name)

    def put(self, name: str, octets: bytes) -> Content:
        """Keep an object whole."""
        self.require_available()
        self._objects[name] = (octets, StoredObject(name, len(octets), self._clock.now()))
        return Content(size_octets=len(octets), stored=name)

    async def open(self, content: Content) -> AsyncIterator[bytes]:
        """Give the octets in one chunk."""
        if content.inline is not None:
            yield content.inline
            return
        self.require_available()
        if content.stored not in self._objects:
            raise ContentMissing(content.stored)
        octets, _ = self._objects[content.stored]
        if len(octets) != content.size_octets:
            raise ContentDamaged(f"{content.stored}: {len(octets)} of {content.size_octets} octets")
        if octets:
            yield octets

    async def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        self.require_available()
        return name in self._objects

    async def delete(self, name: str, committed_by: datetime | None = None) -> None:
        """Remove the object, if there is one, and none that was committed later."""
        self.require_available()
        _, stored = self._objects.get(name, (b"", None))
        if stored is not None and (committed_by is None or stored.stored_at <= committed_by):
            del self._objects[name]

    async def list(self) -> list[StoredObject]:
        """List what is stored."""
        self.require_available()
        return [stored for _, stored in self._objects.values()]

    async def delete_orphans(self, older_than: timedelta) -> int:
        """Find nothing: what a writer here has not committed is nowhere."""
        self.require_available()
        return 0

    def require_available(self) -> None:
        """Raise ContentUnavailable when the test says so."""
        if self.is_unavailable:
            raise ContentUnavailable("told to be unavailable")


class MemoryContentWriter:
    """An object that is being written."""

    def __init__(self, store: MemoryContentStore, name: str) -> None:
        self._store = store
        self._name = name
        self._octets = bytearray()

    async def write(self, octets: bytes) -> None:
        """Append."""
        self._store.require_available()
        self._octets += octets

    async def commit(self) -> Content:
        """Make it readable."""
        return self._store.put(self._name, bytes(self._octets))

    async def abort(self) -> None:
        """Forget what was written."""
        self._octets.clear()
