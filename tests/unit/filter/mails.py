"""Mail, clients and resolvers that the filter's tests are about."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from tripost_filter.mail import Mail
from tripost_shared.clock import Clock, FrozenClock
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.content.port import ContentDamaged
from tripost_shared.dns.port import DnsAnswer, Status
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content

STRANGER = Client("192.0.2.7", helo="mail.sender.example", esmtp=True)
LOGGED_IN = Client("192.0.2.7", helo="laptop", esmtp=True, tls="TLSv1.3", login="ann@local.example")

LETTER = (
    b"From: Ann <ann@sender.example>\r\nTo: bob@dest.example\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@sender.example>\r\nSubject: hello\r\n\r\nHi Bob\r\n"
)


def a_mail(client: Client = STRANGER, **facts: Any) -> Mail:
    """Give a mail of a stranger to bob, with any facts replaced."""
    return Mail(client, **{"reverse_path": "ann@sender.example", "recipient": "bob@dest.example", **facts})


class CachedTable(TableResolver):
    """A table whose every answer is in the cache."""

    def cached(self, name: str, record_type: str) -> DnsAnswer | None:
        """Give the table's answer."""
        looking = self.resolve(name, record_type)
        try:
            looking.send(None)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        raise AssertionError("a table does not wait")


class ChunkedStore(MemoryContentStore):
    """A content store that gives chunks; a test can let it lose objects once they have been read so often."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.chunk_octets = 128 * 1024
        self.readings_until_lost: int | None = None
        self.is_silent = False
        self.before_first_reading: Callable[[], None] | None = None

    async def open(self, content: Content) -> AsyncIterator[bytes]:
        """Give the octets in chunks; of a lost object the first one."""
        if self.before_first_reading is not None:
            self.before_first_reading()
            self.before_first_reading = None
        if self.is_silent:
            await asyncio.Event().wait()
        is_lost = self.readings_until_lost == 0
        if self.readings_until_lost:
            self.readings_until_lost -= 1
        async for octets in super().open(content):
            for start in range(0, len(octets), self.chunk_octets):
                yield octets[start : start + self.chunk_octets]
                if is_lost:
                    raise ContentDamaged(content.stored)


class SilentResolver:
    """A resolver none of whose servers answers: each look-up takes all its time and fails."""

    def __init__(self, clock: FrozenClock | None = None) -> None:
        self.waited: list[timedelta | None] = []
        self._clock = clock

    async def resolve(self, name: str, record_type: str, within: timedelta | None = None) -> DnsAnswer:
        """Let the time pass on the clock."""
        self.waited.append(within)
        if self._clock is not None and within is not None:
            self._clock.advance(within)
        return DnsAnswer(Status.FAILED, because="no answer in time")

    def cached(self, name: str, record_type: str) -> DnsAnswer | None:
        """Remember nothing."""
        return None
