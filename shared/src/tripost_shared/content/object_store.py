"""The content store on JetStream, in the wire format of NATS' Object Store (NATS ADR-20), bucket CONTENT.

An object is chunks of 128 KiB on `$O.CONTENT.C.<nuid>` and one meta message on `$O.CONTENT.M.<name in base64url>`,
which makes it readable; `nats object get` reads it too. Unlike there, a deleted object leaves nothing behind.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode_json
from tripost_shared.bus.jetstream import NO_SUCH_MESSAGE, JetStreamRefused, JetStreamUnavailable, StoredMessage
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.budget import OctetBudget
from tripost_shared.content.port import ContentDamaged, ContentMissing, ContentUnavailable, StoredObject
from tripost_shared.content.writer import (
    BUCKET,
    CHUNK_OCTETS,
    CHUNKS,
    META,
    STREAM,
    ObjectMeta,
    ObjectWriter,
    meta_subject,
)
from tripost_shared.mail.content import Content

log = structlog.get_logger()

CHUNKS_A_READ: Final = 8  # 1 MiB on the way to one reader
MOST_ON_THE_WAY_OCTETS: Final = 16 << 20  # to all; from 64 MiB on that we have not read, nats-server cuts us off
CATCH_UP_TRIES: Final = 8  # a replica that answers may lag behind the leader
CATCH_UP_SECONDS: Final = 0.25


class ObjectContentStore:
    """Reads, writes and removes objects of the bucket CONTENT.

    All readers of a link share one store, so that what is on the way to them together is bounded.
    """

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._on_the_way = OctetBudget(MOST_ON_THE_WAY_OCTETS)

    def writer(self, name: str) -> ObjectWriter:
        """Begin an object."""
        return ObjectWriter(self._link, name)

    async def open(self, content: Content) -> AsyncIterator[bytes]:
        """Give the octets in chunks; what is damaged is told at the end, as ContentMissing."""
        if content.inline is not None:
            yield content.inline
            return
        meta = await self._meta(content.stored)
        if meta is None:
            raise ContentMissing(f"{content.stored}: no such object")
        if meta.size != content.size_octets:
            raise ContentDamaged(f"{content.stored}: {meta.size} octets instead of {content.size_octets}")
        digest = hashlib.sha256()
        size_octets = 0
        async for chunk in self._chunks(meta):
            digest.update(chunk)
            size_octets += len(chunk)
            yield chunk
        if size_octets != meta.size or meta.digest != f"SHA-256={base64.urlsafe_b64encode(digest.digest()).decode()}":
            raise ContentDamaged(f"{content.stored}: damaged, {size_octets} of {meta.size} octets")

    async def has(self, name: str) -> bool:
        """Tell whether the stream's leader has a meta message of that name, be it garbage, and all chunks it speaks of.

        A bucket that is gone as a whole does not answer: who has removed it may bring it back.
        """
        meta = await self._leaders_meta(name)
        while meta is not None and meta.nuid:
            if await self._count_chunks(meta.nuid) >= meta.chunks:
                return True
            judged, meta = meta, await self._leaders_meta(name)
            if meta is not None and meta.nuid == judged.nuid:  # else it was committed anew meanwhile
                log.error("stored content has lost chunks", name=name, chunks_wanted=meta.chunks)
                return False
        return meta is not None

    async def delete(self, name: str, committed_by: datetime | None = None) -> None:
        """Remove the object: its meta message first, since chunks alone are found by `delete_orphans`.

        What is removed is what was looked up, by sequence number and nuid: the name may be committed anew meanwhile.
        """
        subject = meta_subject(name)
        try:
            message = await jetstream.last_message(self._link, STREAM, subject)
            meta = None if message is None else _read_meta(message)
            if message is None or meta is None or (committed_by is not None and message.stored_at > committed_by):
                return
            await jetstream.purge(self._link, STREAM, subject, up_to=message.sequence)
            await jetstream.purge(self._link, STREAM, CHUNKS + meta.nuid)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise ContentUnavailable(str(error)) from error

    async def list(self) -> list[StoredObject]:
        """List what is stored, all of it: some 300 octets of memory an object."""
        return [StoredObject(meta.name, meta.size, message.stored_at) async for meta, message in self._metas()]

    async def delete_orphans(self, older_than: timedelta) -> int:
        """Remove chunks without a meta message that were stored so long ago; gives the number of objects.

        They are what a writer left that was killed. `older_than` must exceed the time that any writer needs.
        """
        try:
            chunked = await self._chunked_nuids()
            known = {meta.nuid async for meta, _ in self._metas()}  # read after: an object may just be committed
            removed = 0
            for nuid in chunked - known:
                if await self._is_old(nuid, older_than):
                    await jetstream.purge(self._link, STREAM, CHUNKS + nuid)
                    removed += 1
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise ContentUnavailable(str(error)) from error
        return removed

    async def _meta(self, name: str) -> ObjectMeta | None:
        try:
            message = await jetstream.last_message(self._link, STREAM, meta_subject(name))
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise ContentUnavailable(str(error)) from error
        return None if message is None else _read_meta(message)

    async def _leaders_meta(self, name: str) -> ObjectMeta | None:
        """Read a meta message as the leader has it: None where there is none, one without a nuid for garbage."""
        try:
            body = {"last_by_subj": meta_subject(name)}
            answer = await jetstream.call(self._link, f"STREAM.MSG.GET.{STREAM}", body)
        except JetStreamRefused as error:
            if error.number == NO_SUCH_MESSAGE:
                return None
            raise ContentUnavailable(str(error)) from error
        except JetStreamUnavailable as error:
            raise ContentUnavailable(str(error)) from error
        return _read_meta(jetstream.stored_message(answer["message"])) or ObjectMeta(name=name, nuid="")

    async def _count_chunks(self, nuid: str) -> int:
        """Count an object's chunks as the leader has them."""
        body = {"subjects_filter": CHUNKS + nuid}
        try:
            info = await jetstream.call(self._link, f"STREAM.INFO.{STREAM}", body)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise ContentUnavailable(str(error)) from error
        return int((info["state"].get("subjects") or {}).get(CHUNKS + nuid, 0))

    async def _metas(self) -> AsyncIterator[tuple[ObjectMeta, StoredMessage]]:
        try:
            async for message in jetstream.scan(self._link, STREAM, f"{META}>"):
                meta = _read_meta(message)
                if meta is not None:
                    yield meta, message
        except JetStreamUnavailable as error:
            raise ContentUnavailable(str(error)) from error

    async def _chunks(self, meta: ObjectMeta) -> AsyncIterator[bytes]:
        """Give the chunks as they come; fewer than there should be when some do not turn up."""
        came = 0
        after = 0
        tries = 0
        while came < meta.chunks:
            window = await self._window(meta.nuid, min(CHUNKS_A_READ, meta.chunks - came), after + 1)
            for message in window:
                came += 1
                after = message.sequence
                yield message.data
            if not window:
                tries += 1
                if tries > CATCH_UP_TRIES:
                    return
                await asyncio.sleep(CATCH_UP_SECONDS)

    async def _window(self, nuid: str, chunks: int, sequence: int) -> Sequence[StoredMessage]:
        """Fetch so many chunks at most; none when there are no more, or not yet.

        They count against the budget only until they are here: who is slow to use them keeps no other reader waiting.
        """
        try:
            async with self._on_the_way.take(chunks * CHUNK_OCTETS):
                return (await jetstream.direct_batch(self._link, STREAM, CHUNKS + nuid, chunks, sequence))[0]
        except JetStreamUnavailable as error:
            raise ContentUnavailable(str(error)) from error

    async def _chunked_nuids(self) -> set[str]:
        """Name all objects of which chunks are stored."""
        nuids: set[str] = set()
        offset = 0
        while True:
            info: dict[str, Any] = await jetstream.call(
                self._link, f"STREAM.INFO.{STREAM}", {"subjects_filter": f"{CHUNKS}>", "offset": offset}
            )
            subjects = info["state"].get("subjects") or {}
            nuids.update(subject.removeprefix(CHUNKS) for subject in subjects)
            offset += len(subjects)
            if not subjects or offset >= info.get("total", 0):
                return nuids

    async def _is_old(self, nuid: str, older_than: timedelta) -> bool:
        last = await jetstream.last_message(self._link, STREAM, CHUNKS + nuid)
        return last is not None and datetime.now(UTC) - last.stored_at >= older_than


def _read_meta(message: StoredMessage) -> ObjectMeta | None:
    """Read a meta message; None for a deleted object, and for garbage, which is logged."""
    try:
        meta = decode_json(message.data, ObjectMeta)
    except msgspec.DecodeError as error:
        log.warning("object's meta message cannot be read", bucket=BUCKET, subject=message.subject, because=str(error))
        return None
    return None if meta.deleted else meta
