"""Configuration through the KV bucket CONFIG: one key a struct, as JSON.

A publication on a key's subject is taken as a hint to read the key from the bucket; so is a regained connection, and
every few seconds it is read anyway. So nothing that is missed stays missed, and nothing is in force that is not stored.
"""

import asyncio
from collections import defaultdict
from typing import Any, Final

import msgspec
import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config.port import ConfigUnavailable, Snapshot, Watched
from tripost_shared.config.reading import read_into
from tripost_shared.contracts.config import CONFIG_BUCKET
from tripost_shared.kv.jetstream import is_deleted, stream_of_bucket

log = structlog.get_logger()

STREAM: Final = stream_of_bucket(CONFIG_BUCKET)
PREFIX: Final = f"$KV.{CONFIG_BUCKET}."
WITHIN_SECONDS: Final = 2.0
POLL_SECONDS: Final = 5.0
AFTER_HINT_SECONDS: Final = (0.02, 0.1, 0.5)  # the hint may overtake the storing: fsync, or a quorum
PUT_TRIES: Final = 2


class KvConfigSource:
    """Watches keys for one process. Call `close` before the link closes."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._watched: dict[str, list[Watched[Any]]] = defaultdict(list)
        self._revisions: dict[str, int] = {}
        self._subscriptions: list[int] = []
        self._hint = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        link.after_regaining(self._hint.set)

    async def watch(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key. When its value cannot be read within 2 s the defaults are in force until it can."""
        watched = Watched(kind())
        if key not in self._watched:
            self._subscriptions.append(self._link.subscribe(PREFIX + key, self._take_hint))
        self._watched[key].append(watched)
        self._revisions.pop(key, None)  # so that the new one is told, whatever the others know
        await self._read(key)
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._follow())
        return watched

    async def close(self) -> None:
        """Follow no more."""
        for number in self._subscriptions:
            self._link.unsubscribe(number)
        if self._follower is not None:
            self._follower.cancel()

    def _take_hint(self, message: Incoming) -> None:
        self._hint.set()

    async def _follow(self) -> None:
        while True:
            pauses: tuple[float, ...] = AFTER_HINT_SECONDS
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._hint.wait()
            except TimeoutError:
                pauses = (0.0,)
            self._hint.clear()
            for pause in pauses:
                await asyncio.sleep(pause)
                await self._read_all()

    async def _read_all(self) -> None:
        for key in list(self._watched):
            try:
                await self._read(key)
            except Exception:  # an entrance: the watch must go on, whatever it was
                log.exception("configuration could not be read", key=key)

    async def _read(self, key: str) -> None:
        try:
            message = await jetstream.last_message(self._link, STREAM, PREFIX + key)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            log.info("configuration could not be read now", key=key, because=str(error))
            return
        if message is None or is_deleted(message) or message.sequence == self._revisions.get(key):
            return
        self._revisions[key] = message.sequence
        for watched in self._watched[key]:
            read_into(watched, key, message.data)


class KvConfigPublisher:
    """Writes configuration."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link

    async def put(self, key: str, snapshot: msgspec.Struct) -> None:
        """Replace the key's value; raises ConfigUnavailable."""
        payload = msgspec.json.encode(snapshot)
        for tries in range(PUT_TRIES):
            try:
                await jetstream.publish(self._link, PREFIX + key, payload, b"", WITHIN_SECONDS)
            except JetStreamRefused as error:
                raise ConfigUnavailable(str(error)) from error
            except JetStreamUnavailable as error:
                if tries + 1 == PUT_TRIES:
                    raise ConfigUnavailable(str(error)) from error
                await self._link.wait_connected(WITHIN_SECONDS)
            else:
                return
