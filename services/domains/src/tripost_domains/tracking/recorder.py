"""Takes facts from the event log and writes them to the database; what is not written stays in the log."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.ports import FactsRefused, TrackingStore, TrackingUnavailable
from tripost_shared.contracts.events import Event
from tripost_shared.spool.port import EventBatchDelivery, EventReader, SpoolUnavailable

log = structlog.get_logger()

BATCHES_AT_ONCE: Final = 64
FETCH_WAIT: Final = timedelta(seconds=1)
WRITE_AT_MOST: Final = 1000  # facts in one transaction: others want to write too
MANY: Final = 200
LAST_WRITE_WITHIN: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """`gather`: pause after few facts, so that a commit carries more. `first_wait` doubles up to `longest_wait`."""

    gather: timedelta = timedelta(milliseconds=100)
    first_wait: timedelta = timedelta(milliseconds=500)
    longest_wait: timedelta = timedelta(seconds=15)


class TrackingRecorder:
    """One loop: fetch, write, only then acknowledge. Writing a fact twice changes nothing, so a crash costs nothing."""

    def __init__(self, reader: EventReader, store: TrackingStore, rhythm: Rhythm | None = None) -> None:
        self._reader = reader
        self._store = store
        self._rhythm = rhythm or Rhythm()
        self._draining = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self._is_fetching = False

    @property
    def trouble(self) -> str:
        """Why nothing is written now; "" when all is well."""
        return self._trouble

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Finish what was fetched, as long as the database takes it."""
        self._draining.set()
        if self._task is not None:
            if self._is_fetching:
                self._task.cancel()
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """End; what was fetched is written if the database takes it soon, else it comes again.

        So it is in every ending: a drain that ran out of time never came to the tracking.
        """
        try:
            async with asyncio.timeout(LAST_WRITE_WITHIN.total_seconds()):
                await self.drain()
        except TimeoutError:
            log.info("tracking was ended before its last facts were written, they come again")
        finally:
            if self._task is not None and not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task})

    async def _run(self) -> None:
        wait = self._rhythm.first_wait
        while not self._draining.is_set():
            try:
                batches = await self._fetch()
                count = await self._write_all(batches)
            except SpoolUnavailable as failure:
                self._note_trouble("the event log does not answer", failure)
            except Exception as failure:
                log.exception("tracking broke")
                self._trouble = type(failure).__name__
            else:
                self._trouble = ""
                wait = self._rhythm.first_wait
                if 0 < count < MANY:
                    await self._pause(self._rhythm.gather)
                continue
            await self._pause(wait)
            wait = min(wait * 2, self._rhythm.longest_wait)

    async def _fetch(self) -> Sequence[EventBatchDelivery]:
        self._is_fetching = True
        try:
            return await self._reader.fetch(BATCHES_AT_ONCE, FETCH_WAIT)
        finally:
            self._is_fetching = False

    async def _write_all(self, batches: Sequence[EventBatchDelivery]) -> int:
        events = [event for batch in batches for event in batch.events]
        for start in range(0, len(events), WRITE_AT_MOST):
            if not await self._write_in_the_end(events[start : start + WRITE_AT_MOST]):
                return 0
        for batch in batches:
            await batch.done()
        return len(events)

    async def _write_in_the_end(self, events: Sequence[Event]) -> bool:
        """Write, however long the database cannot take it; False when we are to end before that."""
        wait = self._rhythm.first_wait
        while True:
            try:
                await self._write(events)
            except TrackingUnavailable as failure:
                self._note_trouble("facts cannot be written now", failure)
            except Exception as failure:  # a mistake of ours: the facts are kept until it is mended
                log.exception("facts cannot be written")
                self._trouble = type(failure).__name__
            else:
                self._trouble = ""
                return True
            if self._draining.is_set():
                return False
            await self._pause(wait)
            wait = min(wait * 2, self._rhythm.longest_wait)

    async def _write(self, events: Sequence[Event]) -> None:
        """Write; a fact that the database refuses for what it holds is found by halving, logged and left out."""
        try:
            await self._store.write(events)
        except FactsRefused as refusal:
            because = str(refusal)
        else:
            return
        if len(events) == 1:
            log.error("a fact cannot be written", fact=events[0].id, message_id=events[0].message_id, because=because)
            return
        middle = len(events) // 2
        await self._write(events[:middle])
        await self._write(events[middle:])

    async def _pause(self, duration: timedelta) -> None:
        """Wait, or less when we are to end."""
        waiting = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({waiting}, timeout=duration.total_seconds())
        finally:
            waiting.cancel()

    def _note_trouble(self, what: str, failure: Exception) -> None:
        if not self._trouble:
            log.warning(f"tracking waits: {what}", because=str(failure))
        self._trouble = f"{what}: {failure}"
