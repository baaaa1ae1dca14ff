"""Buckets on JetStream KV (NATS ADR-8), each key with a life time of its own (`Nats-TTL`, NATS ADR-43)."""

import math
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable, StoredMessage
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.kv.port import BucketUnavailable, Conflict

log = structlog.get_logger()

GREYLIST_BUCKET: Final = "GREYLIST"
WITHIN_SECONDS: Final = 2.0
MOST_KEYS: Final = 100_000
OPERATION_FIELD: Final = b"KV-Operation"  # DEL or PURGE: a deleted key
MARKER_FIELD: Final = b"Nats-Marker-Reason"  # one that the server deleted
MARKER_SECONDS: Final = 60
DELETE: Final = jetstream.header({"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": str(MARKER_SECONDS)})


def stream_of_bucket(bucket: str) -> str:
    """Name the stream of a bucket."""
    return f"KV_{bucket}"


def is_deleted(message: StoredMessage) -> bool:
    """Tell whether a bucket's message says that its key is gone."""
    header = message.header
    return OPERATION_FIELD in header or MARKER_FIELD in header


class StoredEntry(NamedTuple):
    """A value with its revision."""

    value: bytes
    revision: int


class JetStreamBucket:
    """Keys and values that all replicas see. Life times count in whole seconds, rounded up."""

    def __init__(self, link: NatsLink, bucket_name: str) -> None:
        self._link = link
        self._stream = stream_of_bucket(bucket_name)
        self._prefix = f"$KV.{bucket_name}."

    async def get(self, key: str) -> StoredEntry | None:
        """Give the entry; None when there is none or it has expired."""
        message = await self._last(key)
        return None if message is None or is_deleted(message) else StoredEntry(message.data, message.sequence)

    async def create(self, key: str, value: bytes, ttl: timedelta) -> int:
        """Write a key that must not exist; raises Conflict."""
        try:
            return await self._write(key, value, 0, ttl)
        except Conflict:
            message = await self._last(key)
            if message is None or not is_deleted(message):
                raise
            return await self._write(key, value, message.sequence, ttl)

    async def update(self, key: str, value: bytes, revision: int, ttl: timedelta) -> int:
        """Write over exactly that revision; raises Conflict."""
        return await self._write(key, value, revision, ttl)

    async def delete(self, key: str) -> None:
        """Forget the key; a marker of the deletion stays for a minute."""
        await self._publish(key, b"", DELETE)

    async def keys(self) -> list[str]:
        """List the keys that have not expired, 100,000 at most."""
        keys: list[str] = []
        try:
            async for message in jetstream.scan(self._link, self._stream, f"{self._prefix}>"):
                if len(keys) >= MOST_KEYS:
                    log.warning("bucket has more keys than are listed", stream=self._stream, listed=len(keys))
                    break
                if not is_deleted(message):
                    keys.append(message.subject.removeprefix(self._prefix))
        except JetStreamUnavailable as error:
            raise BucketUnavailable(str(error)) from error
        return keys

    async def _last(self, key: str) -> StoredMessage | None:
        try:
            return await jetstream.direct_last(self._link, self._stream, self._prefix + key, WITHIN_SECONDS)
        except JetStreamUnavailable as error:
            raise BucketUnavailable(str(error)) from error

    async def _write(self, key: str, value: bytes, revision: int, ttl: timedelta) -> int:
        seconds = max(1, math.ceil(ttl.total_seconds()))
        fields = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\nNats-TTL: %d\r\n\r\n" % (revision, seconds)
        return await self._publish(key, value, fields)

    async def _publish(self, key: str, value: bytes, fields: bytes) -> int:
        try:
            return await jetstream.publish(self._link, self._prefix + key, value, fields, WITHIN_SECONDS)
        except JetStreamRefused as error:
            if error.number in jetstream.WRONG_LAST_SEQUENCE:
                raise Conflict(key) from error
            raise BucketUnavailable(str(error)) from error
        except JetStreamUnavailable as error:
            raise BucketUnavailable(str(error)) from error
