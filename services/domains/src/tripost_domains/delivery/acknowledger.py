"""Takes settled messages out of SPOOL once their events are on disk, many with one wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from tripost_domains.delivery.patience import until_done
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.spool.port import EventLog, SpoolDelivery, SpoolUnavailable

log = structlog.get_logger()


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
        for held in settled:
            try:
                await held.delivery.done()
            except Exception:
                log.exception("acknowledging failed, the message will come again", message_id=held.message.id)
            self._released(held)
