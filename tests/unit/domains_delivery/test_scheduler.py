"""What the scheduler asks of the queue; the queue itself is a table in memory."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from tripost_domains.queue.model import ClaimedMessage, Share
from tripost_domains.queue.scheduler import LEASE, Pace, Scheduler
from tripost_shared.clock import FrozenClock
from tripost_shared.database.transactions import DatabaseUnavailable


class EmptyQueue:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.shares: list[Share] = []
        self.is_away = False

    async def claim_due(self, _now: datetime, _lease: timedelta, share: Share) -> Sequence[ClaimedMessage]:
        if self.is_away:
            raise DatabaseUnavailable("away")
        self.shares.append(share)
        return []


async def test_nothing_is_taken_over_before_the_database_was_there_for_a_lease(clock: FrozenClock) -> None:
    """After an outage others renew their claims first."""
    queue = EmptyQueue()
    nothing = cast("Any", None)
    scheduler = Scheduler(cast("Any", queue), nothing, nothing, nothing, nothing, nothing, clock, Pace())

    async def takes_over() -> bool:
        await scheduler.claim()
        return queue.shares[-1].takes_over

    assert not await takes_over()
    clock.advance(LEASE)
    assert await takes_over()
    queue.is_away = True
    with pytest.raises(DatabaseUnavailable):
        await scheduler.claim()
    queue.is_away = False
    assert not await takes_over()
    clock.advance(LEASE - timedelta(seconds=1))
    assert not await takes_over()
    clock.advance(timedelta(seconds=1))
    assert await takes_over()
