"""Forgetting what was tracked long ago."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.ports import TrackingStore, TrackingUnavailable
from tripost_shared.clock import Clock

log = structlog.get_logger()

EVERY: Final = timedelta(hours=1)
AT_ONCE: Final = 200  # messages in one transaction: others want to write too
PAUSE: Final = timedelta(milliseconds=50)


class Retention:
    """Purges messages first seen more than `keep` ago, once an hour, in small transactions."""

    def __init__(self, store: TrackingStore, clock: Clock, keep: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._keep = keep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to purge."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def purge(self) -> int:
        """Purge all that is old enough now; gives how many messages. Raises TrackingUnavailable."""
        before = self._clock.now() - self._keep
        total = 0
        while True:
            count = await self._store.purge(before, AT_ONCE)
            total += count
            if count < AT_ONCE:
                return total
            await asyncio.sleep(PAUSE.total_seconds())

    async def _run(self) -> None:
        while True:
            try:
                count = await self.purge()
            except TrackingUnavailable as failure:
                log.warning("old tracking is purged later", because=str(failure))
            except Exception:
                log.exception("purging old tracking broke")
            else:
                if count:
                    log.info("old tracking purged", messages=count)
            await asyncio.sleep(EVERY.total_seconds())
