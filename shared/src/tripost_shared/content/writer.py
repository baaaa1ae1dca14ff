"""Writing an object of the content store chunk by chunk (NATS ADR-20), with bounded memory."""

import asyncio
import base64
import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode_json
from tripost_shared.bus.jetstream import WRONG_LAST_SEQUENCE, JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.mail.content import Content

log = structlog.get_logger()

BUCKET: Final = "CONTENT"
STREAM: Final = f"OBJ_{BUCKET}"
CHUNKS: Final = f"$O.{BUCKET}.C."
META: Final = f"$O.{BUCKET}.M."
CHUNK_OCTETS: Final = 128 * 1024
WINDOW: Final = 8  # chunks on the way without an acknowledgement: 1 MiB
COMMIT_TRIES: Final = 2
NUID_OCTETS: Final = 16


class ObjectMeta(msgspec.Struct, omit_defaults=True):
    """A meta message as all NATS clients write it (NATS ADR-20)."""

    name: str
    nuid: str
    bucket: str = ""
    size: int = 0
    chunks: int = 0
    digest: str = ""
    mtime: str = ""
    options: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    deleted: bool = False


def meta_subject(name: str) -> str:
    """Give the subject of an object's meta message."""
    return META + base64.urlsafe_b64encode(name.encode()).decode()


class ObjectWriter:
    """An object that is being written. A failed chunk ends it: chunks must be stored in their order.

    Its meta message replaces the one that the stream had when the commit began, or is refused. So one that comes late,
    of a commit that was given up, takes the place of no object that others have committed since.
    """

    def __init__(self, link: NatsLink, name: str) -> None:
        self._link = link
        self._name = name
        self._nuid = secrets.token_hex(NUID_OCTETS)  # no generator of ours: forked workers would share its sequence
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._size_octets = 0
        self._chunks = 0
        self._on_the_way: set[asyncio.Task[int]] = set()
        self._may_be_readable = False

    async def write(self, octets: bytes) -> None:
        """Append; waits while 1 MiB is on the way. Raises ContentUnavailable."""
        self._buffer += octets
        start = 0
        while len(self._buffer) - start >= CHUNK_OCTETS:
            await self._send(bytes(memoryview(self._buffer)[start : start + CHUNK_OCTETS]))
            start += CHUNK_OCTETS
        if start:
            del self._buffer[:start]

    async def commit(self) -> Content:
        """Make it readable and durable. Raises ContentUnavailable, after which the object may be readable or not.

        Also when another has committed an object of that name meanwhile, which stays.
        """
        if self._buffer:
            await self._send(bytes(self._buffer))
            self._buffer.clear()
        try:
            former = await jetstream.last_message(self._link, STREAM, meta_subject(self._name))
            await self._settle(0)
            await self._publish_meta(0 if former is None else former.sequence)
            await self._purge_former(None if former is None else former.data)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise ContentUnavailable(f"{self._name}: {error}") from error
        return Content(size_octets=self._size_octets, stored=self._name)

    async def abort(self) -> None:
        """Forget what was written; what cannot be removed now is an orphan.

        What may be readable stays whole: somebody may refer to an object of that name, and the former one is gone.
        """
        self._buffer.clear()
        for task in self._on_the_way:
            task.cancel()
        if not self._chunks or self._may_be_readable:
            return
        try:
            await jetstream.purge(self._link, STREAM, CHUNKS + self._nuid)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            log.info("chunks of an aborted object stay behind", nuid=self._nuid, because=str(error))

    async def _send(self, chunk: bytes) -> None:
        await self._settle(WINDOW - 1)
        self._digest.update(chunk)
        self._size_octets += len(chunk)
        self._chunks += 1
        publishing = jetstream.publish(self._link, CHUNKS + self._nuid, chunk)
        task = asyncio.get_running_loop().create_task(publishing)
        task.add_done_callback(_see)
        self._on_the_way.add(task)

    async def _settle(self, at_most: int) -> None:
        """Wait until no more than so many chunks are on the way."""
        while len(self._on_the_way) > at_most:
            done, self._on_the_way = await asyncio.wait(self._on_the_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is not None:
                    raise ContentUnavailable(f"{self._name}: {error}") from error

    async def _publish_meta(self, former_sequence: int) -> None:
        """Store the meta message; raises JetStreamRefused or JetStreamUnavailable.

        `former_sequence` is the number of the one that it replaces, 0 for none.
        """
        meta = ObjectMeta(
            name=self._name,
            nuid=self._nuid,
            bucket=BUCKET,
            size=self._size_octets,
            chunks=self._chunks,
            digest="SHA-256=" + base64.urlsafe_b64encode(self._digest.digest()).decode(),
            mtime=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            options={"max_chunk_size": CHUNK_OCTETS},
        )
        payload = msgspec.json.encode(meta)
        replacing = {"Nats-Rollup": "sub", "Nats-Expected-Last-Subject-Sequence": str(former_sequence)}
        for tries in range(COMMIT_TRIES):
            self._may_be_readable = True
            try:
                await jetstream.publish(self._link, meta_subject(self._name), payload, jetstream.header(replacing))
            except JetStreamRefused as error:
                self._may_be_readable = tries > 0  # the try before may have been stored
                if tries and error.number in WRONG_LAST_SEQUENCE and await self._is_committed():
                    return
                raise
            except JetStreamUnavailable:
                if tries + 1 == COMMIT_TRIES:
                    raise
                await self._link.wait_connected(jetstream.WITHIN_SECONDS)
            else:
                return

    async def _is_committed(self) -> bool:
        """Tell whether the object of that name is this one."""
        found = await jetstream.last_message(self._link, STREAM, meta_subject(self._name))
        return found is not None and _nuid_of(found.data) == self._nuid

    async def _purge_former(self, former: bytes | None) -> None:
        """Remove the chunks of the object that this one replaced; if that fails they are orphans."""
        nuid = "" if former is None else _nuid_of(former)
        if not nuid:
            return
        try:
            await jetstream.purge(self._link, STREAM, CHUNKS + nuid)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            log.info("chunks of a replaced object stay behind", name=self._name, because=str(error))


def _nuid_of(meta: bytes) -> str:
    """Read it from a meta message; "" where that is garbage."""
    try:
        return decode_json(meta, ObjectMeta).nuid
    except msgspec.DecodeError:
        return ""


def _see(task: asyncio.Task[int]) -> None:
    """Take note of how it ended: the first failure ends the object; those behind it would be told as stray errors."""
    if not task.cancelled():
        task.exception()
