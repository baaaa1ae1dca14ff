"""Getting the octets to examine, with bounded memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from tripost_shared.content.port import ContentStore
from tripost_shared.mail.content import Content


class ContentReader:
    """Reads stored content, at most `at_once` messages at a time and of each at most `max_octets`."""

    def __init__(self, store: ContentStore, *, at_once: int, max_octets: int, within: timedelta) -> None:
        self._store = store
        self._slots = asyncio.Semaphore(at_once)
        self._max_octets = max_octets
        self._within = within

    @asynccontextmanager
    async def octets(self, content: Content) -> AsyncIterator[tuple[bytes, bool]]:
        """Give the octets, and whether they are all; the slot is held as long as they are used.

        Raises ContentMissing, ContentUnavailable, and TimeoutError when there was no slot or no answer in time.
        """
        async with asyncio.timeout(self._within.total_seconds()):
            await self._slots.acquire()
        try:
            async with asyncio.timeout(self._within.total_seconds()):
                octets = await self._read(content)
            yield octets, len(octets) >= content.size_octets
        finally:
            self._slots.release()

    async def _read(self, content: Content) -> bytes:
        if content.size_octets <= self._max_octets:
            return await self._store.read(content)
        beginning = bytearray()
        async for chunk in self._store.open(content):
            beginning += chunk
            if len(beginning) >= self._max_octets:
                break
        return bytes(beginning[: self._max_octets])
