"""Content in the store: kept for the queue, forgotten when nobody can ask for it any more.

Three things refer to an object: a message in SPOOL (parked ones included), a row of the queue, and whoever has just
committed it and is about to spool its message. The last takes minutes: edge asks the filter after the commit, for 120 s
at most, then publishes within 8 s, or not at all; a large DSN is spooled within two minutes or never. Mail that was
parked has its content stored anew when it is spooled again.

So the object of a message in SPOOL is younger than the message's place there, or older by minutes. It gets into the
queue from SPOOL only, which the message leaves once its row is there. What is two hours old, an hour older than all
that is in SPOOL, and in no row, is of no more use. That it is hours and not minutes is for clocks that differ.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from tripost_domains.delivery.octets import joined_in_pieces
from tripost_domains.delivery.patience import until_done
from tripost_shared.clock import Clock
from tripost_shared.content.forgetting import Forgetting
from tripost_shared.content.port import (
    ContentMissing,
    ContentStore,
    ContentUnavailable,
    StoredObject,
    aborted_on_failure,
)
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.content import Content

log = structlog.get_logger()

ORPHAN_AFTER: Final = timedelta(hours=2)
SPOOLED_WITHIN: Final = timedelta(hours=1)  # from an object's commit to its message's place in SPOOL
UNFINISHED_AFTER: Final = timedelta(days=1)  # a writer's last chunk: a slow client needs minutes for one, by default
MAX_HEADER_OCTETS: Final = 64 * 1024  # of an original message's header, for its DSN


class Contents:
    """Keeps and forgets objects of the content store."""

    def __init__(self, store: ContentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._forgetting = Forgetting(store.delete, clock)

    async def keep(self, message: SpooledMessage) -> Content:
        """Make sure that the content is in the store, under the message's id if it came inline; waits for the store."""
        inline = message.content.inline
        if inline is None:
            return message.content
        return await self.put(message.id, inline)

    async def put(self, name: str, octets: bytes) -> Content:
        """Put octets into the store under a name; waits for the store.

        An object of that name that is there is not made use of: it may be due to be forgotten, and a new one is not.
        """
        return await until_done(lambda: self._put(name, octets), (ContentUnavailable,), "store content")

    async def is_missing(self, content: Content) -> bool:
        """Tell whether the store has no such object any more, or only parts of it. Raises ContentUnavailable."""
        return content.inline is None and not await self._store.has(content.stored)

    async def header(self, content: Content) -> bytes:
        """Give the first octets, enough to hold the header; b"" when the content cannot be read."""
        head = b""
        try:
            async for chunk in self._store.open(content):
                head += chunk
                if b"\r\n\r\n" in head or len(head) >= MAX_HEADER_OCTETS:
                    break
        except (ContentMissing, ContentUnavailable) as error:
            log.warning("content cannot be read for its DSN", because=f"{type(error).__name__}: {error}")
        return head[:MAX_HEADER_OCTETS]

    async def whole(self, message: SpooledMessage, most_octets: int) -> bytes | None:
        """Give a message with the fields on top of it; None when it has more octets, or cannot be read."""
        if len(message.header_fields) + message.content.size_octets > most_octets:
            return None
        try:
            pieces = [
                piece async for piece in joined_in_pieces(message.header_fields, self._store.open(message.content))
            ]
        except (ContentMissing, ContentUnavailable) as error:
            log.warning("content cannot be read for its DSN", because=f"{type(error).__name__}: {error}")
            return None
        return b"".join(pieces)

    def forget_later(self, content: str) -> None:
        """Delete an object some time after its message was settled."""
        self._forgetting.forget_later(content)

    async def forget_due(self, is_wanted: Callable[[str], Awaitable[bool]]) -> None:
        """Delete what is due, but for what the queue refers to after all; raises what `is_wanted` raises."""
        await self._forgetting.forget_due(is_wanted)

    async def sweep(self, oldest_spooled_at: datetime | None, queued: Callable[[], Awaitable[set[str]]]) -> int:
        """Delete what no message can refer to any more, and what was never finished; gives how many.

        Raises ContentUnavailable, in the end when it is for some of them only, and what `queued` raises.

        The queue is asked after the store was listed: a row that comes later has a younger object, or one from SPOOL.
        """
        unfinished = await self._store.delete_orphans(UNFINISHED_AFTER)
        orphans = orphaned(await self._store.list(), self._clock.now(), oldest_spooled_at)
        if not orphans:
            return unfinished
        wanted = await queued()
        unwanted = [stored for stored in orphans if stored.name not in wanted]
        failure: ContentUnavailable | None = None
        for stored in unwanted:
            try:
                await self._store.delete(stored.name, committed_by=stored.stored_at)  # not one that came since
            except ContentUnavailable as error:
                failure = error
        if failure is not None:
            raise failure
        return unfinished + len(unwanted)

    async def _put(self, name: str, octets: bytes) -> Content:
        writer = self._store.writer(name)
        async with aborted_on_failure(writer):
            await writer.write(octets)
            return await writer.commit()


def orphaned(stored: list[StoredObject], now: datetime, oldest_spooled_at: datetime | None) -> list[StoredObject]:
    """Choose what is too old to belong to a message in SPOOL or to one that is arriving; pure.

    A message in SPOOL refers to an object that was committed before it, by SPOOLED_WITHIN at most. `oldest_spooled_at`
    is what SPOOL said before the objects were listed.
    """
    before = now - ORPHAN_AFTER
    if oldest_spooled_at is not None:
        before = min(before, oldest_spooled_at - SPOOLED_WITHIN)
    return [each for each in stored if each.stored_at < before]
