"""Configuration through the KV bucket CONFIG: one key a struct, as JSON.

A publication on a key's subject is taken as a hint to read the key from the bucket; so is a regained connection, and
every few seconds it is read anyway. So nothing that is missed stays missed, and nothing is in force that is not stored.
"""

import asyncio
from collections import defaultdict
from typing import Any, Final

import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config.port import Snapshot, Watched
from tripost_shared.config.reading import read_into
from tripost_shared.contracts.config import CONFIG_BUCKET
from tripost_shared.kv.jetstream import is_deleted, stream_of_bucket

log = structlog.get_logger()

STREAM: Final = stream_of_bucket(CONFIG_BUCKET)
PREFIX: Final = f"$KV.{CONFIG_BUCKET}."
WITHIN_SECONDS: Final = 2.0  # for whoever writes a key
POLL_SECONDS: Final = 5.0
AFTER_HINT_SECONDS: Final = (0.02, 0.1, 0.5)  # the hint may overtake the storing: fsync, or a quorum
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
TROUBLE_SECONDS: Final = 30.0  # without all keys read, before it is told as such


class KvConfigSource:
    """Watches keys for one process. Call `close` before the link closes."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._watched: dict[str, list[Watched[Any]]] = defaultdict(list)
        self._revisions: dict[str, int] = {}
        self._garbage: set[str] = set()
        self._failing_since: float | None = None
        self._because = ""
        self._subscriptions: list[int] = []
        self._hint = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        link.after_regaining(self._hint.set)

    @property
    def trouble(self) -> str:
        """Why an older configuration may be in force than the one that is stored; "" when all is well."""
        if self._garbage:
            return f"configuration cannot be read, the last one stays in force: {', '.join(sorted(self._garbage))}"
        if self._failing_since is None:
            return ""
        seconds = asyncio.get_running_loop().time() - self._failing_since
        return f"configuration not read for {seconds:.0f} s: {self._because}" if seconds >= TROUBLE_SECONDS else ""

    @property
    def revision(self) -> int:
        """The newest revision that is in force: that of the last change of any key that is followed."""
        return max((watched.current.revision for of_key in self._watched.values() for watched in of_key), default=0)

    async def watch(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key. When its value cannot be read now the defaults are in force until it can."""
        watched = self._followed(key, kind)
        await self._read_if_possible(key)
        self._follow_from_now_on()
        return watched

    async def watch_known(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key; returns once its value was read, or it is certain that it has none (the defaults count then).

        Waits for ever, and says in the log what for.
        """
        watched = self._followed(key, kind)
        pause = FIRST_PAUSE_SECONDS
        because = await self._unknown_because(key)
        while because:
            log.warning("waiting for configuration", key=key, because=because)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            because = await self._unknown_because(key)
        self._follow_from_now_on()
        return watched

    async def close(self) -> None:
        """Follow no more."""
        for number in self._subscriptions:
            self._link.unsubscribe(number)
        if self._follower is not None:
            self._follower.cancel()

    def _followed(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        watched = Watched(kind())
        if key not in self._watched:
            self._subscriptions.append(self._link.subscribe(PREFIX + key, self._take_hint))
        self._watched[key].append(watched)
        self._revisions.pop(key, None)  # so that the new one is told, whatever the others know
        return watched

    def _follow_from_now_on(self) -> None:
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._follow())

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
        because = ""
        for key in list(self._watched):
            try:
                because = await self._read_if_possible(key) or because
            except Exception as error:  # an entrance: the watch must go on, whatever it was
                log.exception("configuration could not be read", key=key)
                because = f"{key}: {error!r}"
        self._because = because
        if not because:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = asyncio.get_running_loop().time()

    async def _read_if_possible(self, key: str) -> str:
        """Read the key; tells why that could not be done, or ""."""
        try:
            await self._read(key)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            log.info("configuration could not be read now", key=key, because=str(error))
            return f"{key}: {error}"
        return ""

    async def _unknown_because(self, key: str) -> str:
        """Read the key; tells why its value is not known, "" when it is, or when the bucket has none."""
        try:
            if not await self._read(key):
                await jetstream.call(self._link, f"STREAM.INFO.{STREAM}")  # no value counts only in a bucket
        except (JetStreamRefused, JetStreamUnavailable) as error:
            return str(error)
        return "its value cannot be read" if key in self._garbage else ""

    async def _read(self, key: str) -> bool:
        """Take the key's value over; tells whether it has one. Raises JetStreamRefused, JetStreamUnavailable."""
        message = await jetstream.last_message(self._link, STREAM, PREFIX + key)
        if message is None or is_deleted(message):
            self._garbage.discard(key)
            return False
        if message.sequence != self._revisions.get(key):
            self._revisions[key] = message.sequence
            readable = [read_into(watched, key, message.data) for watched in self._watched[key]]
            if all(readable):
                self._garbage.discard(key)
            else:
                self._garbage.add(key)
        return True
