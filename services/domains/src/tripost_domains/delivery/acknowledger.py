"""Takes settled messages out of SPOOL once their events are on disk, many with one wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.delivery.patience import until_done
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.spool.port import EventLog, SpoolDelivery, SpoolUnavailable

log = structlog.get_logger()

PAUSE_SECONDS: Final = 1.0


@dataclass(slots=True, eq=False)
class Held:
    """A message at hand.

    `delivery` is the newest one: SPOOL gives a message again when it could not hear for long that work on it goes on.
    `settled` are the recipients that must not be attempted again by this process.
    """

    delivery: SpoolDelivery
    taken_at: float
    settled: set[str] = field(default_factory=set)

    @property
    def message(self) -> SpooledMessage:
        """The message."""
        return self.delivery.message


class Acknowledger:
    """Flushes the event log and acknowledges what was settled before the flush began."""

    def __init__(self, events: EventLog, released: Callable[[Held], None]) -> None:
        self._events = events
        self._released = released
        self._settled: list[Held] = []
        self._has_work = asyncio.Event()

    def add(self, held: Held) -> None:
        """Let a settled message be acknowledged with the next flush."""
        self._settled.append(held)
        self._has_work.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._has_work.wait()
            try:
                await self.acknowledge()
            except Exception:  # an entrance: nothing would be acknowledged any more
                log.exception("settled messages could not be acknowledged yet")
                await asyncio.sleep(PAUSE_SECONDS)
                self._has_work.set()

    async def acknowledge(self) -> None:
        """Flush once and acknowledge; waits for the event log as long as it takes."""
        self._has_work.clear()
        count = len(self._settled)
        await until_done(self._events.flush, (SpoolUnavailable,), "flush the event log")
        await self._finish(count)

    async def end(self, within: timedelta) -> None:
        """Flush and acknowledge what that time allows, once nothing else works here any more.

        Facts of what is not settled count too: whoever gets the message next asks the tracking what was done of it.
        """
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._events.flush()
                await self._finish(len(self._settled))
        except (SpoolUnavailable, TimeoutError) as error:
            because = str(error) or "no answer in time"
            log.warning("settled messages will come again", messages=len(self._settled), because=because)

    async def _finish(self, count: int) -> None:
        """Acknowledge the first ones; one leaves the list only then, so that a cancellation forgets none."""
        for held in self._settled[:count]:
            try:
                await held.delivery.done()
            except Exception:  # it would keep all behind it from being acknowledged
                log.exception("acknowledging failed, the message will come again", message_id=held.message.id)
            self._settled.remove(held)
            self._released(held)
