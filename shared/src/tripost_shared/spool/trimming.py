"""Removing from SPOOL's streams what has been acknowledged.

A work queue would remove each message at its acknowledgement, with a tombstone and an fsync of its own: as dear as
storing it (docs/decisions/0003). So the streams keep messages until they are trimmed, all at once, up to the sequence
number below which everything is acknowledged. Several replicas may trim; it is the same whoever does it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink

log = structlog.get_logger()

TRIM_EVERY_SECONDS: Final = 5.0


class Trimmer:
    """Trims streams from time to time, by what the durable consumer of that name has had acknowledged."""

    def __init__(self, link: NatsLink, streams: Sequence[str], durable: str) -> None:
        self._link = link
        self._trimmed = dict.fromkeys(streams, 0)
        self._durable = durable
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the event loop that runs; does nothing when it has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Trim no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def trim(self) -> None:
        """Trim all streams once; one that cannot be trimmed now is said, and stops no other."""
        for stream in self._trimmed:
            try:
                await self._trim(stream)
            except (JetStreamRefused, JetStreamUnavailable) as error:
                log.info("spool not trimmed now", stream=stream, because=str(error))

    async def _trim(self, stream: str) -> None:
        info = await jetstream.call(self._link, f"CONSUMER.INFO.{stream}.{self._durable}")
        floor: int = info["ack_floor"]["stream_seq"]
        if floor != self._trimmed[stream]:  # lower after a crash of the server: then it is done again
            await jetstream.call(self._link, f"STREAM.PURGE.{stream}", {"seq": floor + 1})
            self._trimmed[stream] = floor

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TRIM_EVERY_SECONDS)
            await self.trim()
