"""Getting the octets to examine, with bounded memory: of a stored message, chunk by chunk as checks go through it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Final

from tripost_filter.mail import MAX_HEADER_OCTETS
from tripost_shared.content.port import ContentMissing, ContentStore, ContentUnavailable
from tripost_shared.mail.content import Content

BEGINNING_OCTETS: Final = MAX_HEADER_OCTETS + 4  # with them it is known whether the header is within bounds


class ContentReader:
    """Reads stored content, of at most `at_once` messages at a time and of each at most `max_octets`."""

    def __init__(self, store: ContentStore, *, at_once: int, max_octets: int, within: timedelta) -> None:
        self._store = store
        self._slots = asyncio.Semaphore(at_once)
        self._max_octets = max_octets
        self._within = within

    @asynccontextmanager
    async def reading(self, content: Content) -> AsyncIterator["Reading"]:
        """Give the content with its beginning read; the slot is held as long as it is used.

        Raises ContentMissing, ContentUnavailable, and TimeoutError when slot and beginning did not come in time. What
        goes wrong after the beginning is raised at the end, whatever those who read made of it.
        """
        end = asyncio.get_running_loop().time() + self._within.total_seconds()
        async with asyncio.timeout_at(end):
            await self._slots.acquire()
        try:
            reading = Reading(self._store, content, self._max_octets)
            async with asyncio.timeout_at(end):
                await reading.read_beginning()
            yield reading
            if reading.trouble is not None:
                raise reading.trouble
        finally:
            self._slots.release()


class Reading:
    """One stored message that is examined: its beginning, and all of it as often as wanted."""

    def __init__(self, store: ContentStore, content: Content, max_octets: int) -> None:
        self._store = store
        self._content = content
        self._max_octets = max_octets
        self.beginning = b""  # with the header, unless that is beyond all bounds
        self.trouble: ContentMissing | ContentUnavailable | None = None  # why some reader did not get all

    @property
    def is_complete(self) -> bool:
        """Whether all of the content is examined."""
        return self._content.size_octets <= self._max_octets

    async def read_beginning(self) -> None:
        """Read as much as the header may have."""
        beginning = bytearray()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                beginning += chunk
                if len(beginning) >= BEGINNING_OCTETS:
                    break
        self.beginning = bytes(beginning)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give the octets that are examined, from the start."""
        left = self._max_octets
        try:
            async for chunk in self._store.open(self._content):
                if len(chunk) > left:  # not before: only behind its last octet the store says that none is damaged
                    if left:
                        yield chunk[:left]
                    return
                yield chunk
                left -= len(chunk)
        except (ContentMissing, ContentUnavailable) as error:
            self.trouble = error
            raise
