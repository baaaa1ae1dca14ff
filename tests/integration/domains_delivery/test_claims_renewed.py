"""Claims are renewed as long as the attempt lasts, so that no other replica makes it again; on real databases."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from queue_world import NOW, a_deferral, add
from tripost_domains.queue import scheduler as scheduler_module
from tripost_domains.queue.model import ClaimedMessage
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.queue.scheduler import LEASE, Pace, Scheduler
from tripost_shared.clock import FrozenClock
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import reading
from tripost_shared.spool.memory import MemoryEventLog

PACE = Pace(poll_seconds=3600)  # nobody looks but once, and when the test has it do so


class LongAttempts:
    """Attempts that last until they are cancelled."""

    def __init__(self) -> None:
        self.begun = 0

    async def make(self, _claimed: ClaimedMessage, _began_at: float) -> bool:
        self.begun += 1
        await asyncio.Event().wait()
        return False


async def test_an_attempt_longer_than_two_leases_is_made_once(
    queue: QueueRepository, replica: QueueRepository, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "RENEW_EVERY", timedelta(milliseconds=5))
    clock, attempts = FrozenClock(NOW), LongAttempts()
    first, second = (_a_scheduler(each, attempts, clock) for each in (queue, replica))
    await add(queue, a_deferral())
    first.start()
    try:
        await _until_claimed(database, clock)
        for _ in range(6):
            clock.advance(LEASE / 2)
            await _until_claimed(database, clock)
            await second.claim()
            await asyncio.sleep(0)  # what was claimed would begin
        assert attempts.begun == 1
    finally:
        await first.stop()
        await second.stop()


def _a_scheduler(queue: QueueRepository, attempts: LongAttempts, clock: FrozenClock) -> Scheduler:
    nothing = cast("Any", None)
    return Scheduler(queue, cast("Any", attempts), nothing, MemoryEventLog(), clock, PACE)


async def _until_claimed(database: AsyncEngine, clock: FrozenClock) -> None:
    """Wait until the delivery is claimed for a whole lease from now; fails if that does not come about."""
    async with asyncio.timeout(5):
        while True:
            async with reading(database) as connection:
                until = await connection.scalar(select(QueuedDelivery.claimed_until))
            if until == clock.now() + LEASE:
                return
            await asyncio.sleep(0.01)
