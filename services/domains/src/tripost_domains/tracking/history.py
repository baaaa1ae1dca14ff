"""What has become of a message already, once the tracking has heard of all that was told."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.ports import TrackedFacts
from tripost_domains.tracking.past import TELLING, Past, past_of
from tripost_shared.clock import Clock
from tripost_shared.spool.port import EventReader

log = structlog.get_logger()

CATCH_UP_WITHIN: Final = timedelta(seconds=20)  # longer than the log waits for a reader that was killed: 10 s


class TrackedHistory:
    """Reads the past from the tracking, after waiting a little for facts that are on their way there.

    Facts are in the event log before SPOOL or the queue may forget what they tell of. The log's reader may lag: what a
    replica had taken when it was killed comes to another one only once the log has not heard of it for 10 s, and mail
    may come again sooner than that. What is known at the end of the wait is all that counts.
    """

    def __init__(self, reader: EventReader, facts: TrackedFacts, clock: Clock, within: timedelta | None = None) -> None:
        self._reader = reader
        self._facts = facts
        self._clock = clock
        self._within = within or CATCH_UP_WITHIN
        self._turn = asyncio.Lock()
        self._caught_up_at = float("-inf")

    async def past_of(self, message_id: str) -> Past:
        """Say what is known of a message; raises TrackingUnavailable."""
        await self._catch_up()
        return past_of(await self._facts.read(message_id, TELLING))

    async def _catch_up(self) -> None:
        """Wait once for all who ask at the same time."""
        asked_at = self._clock.monotonic()
        async with self._turn:
            if self._caught_up_at >= asked_at:
                return
            began_at = self._clock.monotonic()
            if not await self._reader.wait_until_done(self._within):
                log.warning("tracking lags behind, something may be delivered once more", waited=str(self._within))
            self._caught_up_at = began_at
