"""What the scheduler asks of the queue; the queue itself is a table in memory."""

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from tripost_domains.queue.model import Claimed, Share, Unreadable
from tripost_domains.queue.rows import UNREADABLE
from tripost_domains.queue.scheduler import LEASE, Pace, Scheduler
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.events import Fact
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.spool.memory import MemoryEventLog


class EmptyQueue:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.shares: list[Share] = []
        self.given_back = 0
        self.unreadable: list[Unreadable] = []
        self.is_away = False

    async def claim_due(self, _now: datetime, _lease: timedelta, share: Share) -> Claimed:
        self._require_there()
        self.shares.append(share)
        return Claimed(unreadable=self.unreadable)

    async def give_back(self, _now: datetime) -> int:
        self._require_there()
        assert not self.shares, "these claims would be our own"
        self.given_back += 1
        return 0

    def _require_there(self) -> None:
        if self.is_away:
            raise DatabaseUnavailable("away")


def a_scheduler(queue: EmptyQueue, clock: FrozenClock, events: MemoryEventLog | None = None) -> Scheduler:
    nothing = cast("Any", None)
    return Scheduler(cast("Any", queue), nothing, nothing, events or MemoryEventLog(), clock, Pace())


async def test_nothing_is_taken_over_before_the_database_was_there_for_a_lease(clock: FrozenClock) -> None:
    """After an outage others renew their claims first."""
    queue = EmptyQueue()
    scheduler = a_scheduler(queue, clock)

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


async def test_what_a_process_of_the_same_name_had_claimed_is_given_back_once_before_the_first_claim(
    clock: FrozenClock,
) -> None:
    """They are a dead process's, and nobody works on them."""
    queue = EmptyQueue()
    scheduler = a_scheduler(queue, clock)
    queue.is_away = True
    with pytest.raises(DatabaseUnavailable):
        await scheduler.claim()
    queue.is_away = False
    for _ in range(2):
        await scheduler.claim()
    assert queue.given_back == 1


async def test_facts_are_on_disk_before_claims_are_given_back(
    clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes them next asks the tracking what was made of them."""
    steps: list[str] = []

    async def flush() -> None:
        steps.append("flush")

    async def give_back(_now: datetime) -> int:
        steps.append("give back")
        return 0

    queue, events = EmptyQueue(), MemoryEventLog()
    monkeypatch.setattr(events, "flush", flush)
    monkeypatch.setattr(queue, "give_back", give_back)
    scheduler = a_scheduler(queue, clock, events)
    scheduler.start()
    await scheduler.stop()
    assert steps == ["flush", "give back"]


async def test_claims_whose_facts_cannot_be_put_on_disk_run_out_by_themselves(clock: FrozenClock) -> None:
    queue, events = EmptyQueue(), MemoryEventLog(is_unavailable=True)
    scheduler = a_scheduler(queue, clock, events)
    scheduler.start()
    await scheduler.stop()
    assert queue.given_back == 0


async def test_what_cannot_be_read_is_told_as_held_each_time(clock: FrozenClock) -> None:
    """An operator may release it, and it is held again."""
    queue, events = EmptyQueue(), MemoryEventLog()
    queue.unreadable = [Unreadable("1k3v9q2m8f0abcde.1", (1, 2), ("ann@a.example", "bob@b.example"), "damaged")]
    scheduler = a_scheduler(queue, clock, events)
    for _ in range(2):
        await scheduler.claim()
        clock.advance(timedelta(minutes=1))
    told = [(event.fact, event.recipient, event.detail) for event in events.events]
    assert told == 2 * [(Fact.HELD, "ann@a.example", UNREADABLE), (Fact.HELD, "bob@b.example", UNREADABLE)]
    assert len({event.id for event in events.events}) == 4
