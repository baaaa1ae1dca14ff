"""Takes settled messages out of SPOOL once their events are on disk, many with one wait."""

import asyncio
from collections.abc import Callable

import structlog

from tripost_domains.delivery.patience import until_done
from tripost_shared.spool.port import EventLog, SpoolDelivery, SpoolUnavailable

log = structlog.get_logger()


class Acknowledger:
    """Flushes the event log and acknowledges what was settled before the flush began."""

    def __init__(self, events: EventLog, released: Callable[[SpoolDelivery], None]) -> None:
        self._events = events
        self._released = released
        self._settled: list[SpoolDelivery] = []
        self._has_work = asyncio.Event()

    def add(self, delivery: SpoolDelivery) -> None:
        """Let a settled message be acknowledged with the next flush."""
        self._settled.append(delivery)
        self._has_work.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._has_work.wait()
            await self.acknowledge()

    async def acknowledge(self) -> None:
        """Flush once and acknowledge; waits for the event log as long as it takes."""
        self._has_work.clear()
        settled, self._settled = self._settled, []
        try:
            await until_done(self._events.flush, (SpoolUnavailable,), "flush the event log")
        except BaseException:
            self._settled = settled + self._settled
            raise
        for delivery in settled:
            try:
                await delivery.done()
            except Exception:
                log.exception("acknowledging failed, the message will come again", message_id=delivery.message.id)
            self._released(delivery)
