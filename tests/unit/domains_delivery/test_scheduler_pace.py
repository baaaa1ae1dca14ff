"""How often the scheduler looks at the queue, and for whom; the queue itself is a table in memory."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from queue_world import NOW, a_claim
from tripost_domains.delivery.outcome import MAILBOX
from tripost_domains.queue.model import Claimed, ClaimedMessage, Share
from tripost_domains.queue.scheduler import Pace, Scheduler
from tripost_shared.clock import FrozenClock
from tripost_shared.spool.memory import MemoryEventLog

PACE = Pace(poll_seconds=3600, gather_seconds=0)  # no test lasts until the whole queue is looked at once more
TURNS = 200  # of the event loop: a look and its attempts need ten


@dataclass
class DueQueue:
    """Has so many deliveries due for each next hop; `looks` counts what it is asked."""

    due: Counter[str]
    looks: int = 0
    beaten_at: frozenset[int] = frozenset()  # looks at which another has claimed all that was found

    async def claim_due(self, _now: datetime, _lease: timedelta, share: Share) -> Claimed:
        self.looks += 1
        if self.looks in self.beaten_at:
            return Claimed(was_beaten=True)
        claimed = Claimed()
        left = share.at_most
        for hop, count in list(self.due.items()):
            taken = min(count, share.room_for(hop), share.mailboxes if hop == MAILBOX else left)
            left -= 0 if hop == MAILBOX else taken
            self.due[hop] -= taken
            claimed.messages.extend(_messages(hop, taken))
        return claimed

    async def give_back(self, _now: datetime) -> int:
        return 0


@dataclass
class Attempts:
    """Attempts that end at once, for next hops that take what they get or nothing, or last for ever."""

    takes_nothing: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    made: Counter[str] = field(default_factory=Counter)
    at_once: Counter[str] = field(default_factory=Counter)
    most_at_once: Counter[str] = field(default_factory=Counter)

    async def make(self, claimed: ClaimedMessage, _began_at: float) -> bool:
        hop = claimed.claims[0].next_hop
        self.at_once[hop] += 1
        self.most_at_once[hop] = max(self.most_at_once[hop], self.at_once[hop])
        await asyncio.sleep(0)
        if hop in self.last:
            await asyncio.Event().wait()
        self.at_once[hop] -= 1
        self.made[hop] += 1
        return hop not in self.takes_nothing


def _messages(hop: str, count: int) -> list[ClaimedMessage]:
    return [ClaimedMessage(cast("Any", None), (a_claim(next_hop=hop),)) for _ in range(count)]


async def run_for_one_interval(queue: DueQueue, attempts: Attempts) -> None:
    """Run the scheduler until it leaves the queue alone."""
    nothing = cast("Any", None)
    scheduler = Scheduler(cast("Any", queue), cast("Any", attempts), nothing, MemoryEventLog(), FrozenClock(NOW), PACE)
    scheduler.start()
    looks = -1
    while looks != queue.looks:
        looks = queue.looks
        for _ in range(TURNS):
            await asyncio.sleep(0)
    await scheduler.stop()


async def test_a_next_hop_that_takes_mail_is_drained_without_a_pause() -> None:
    queue, attempts = DueQueue(Counter({"smart.example": 500})), Attempts()
    await run_for_one_interval(queue, attempts)
    assert attempts.made["smart.example"] == 500
    assert attempts.most_at_once["smart.example"] == PACE.per_hop


async def test_a_next_hop_that_takes_nothing_waits_for_the_next_look_at_the_whole_queue() -> None:
    """Else a dead smarthost with a long queue would keep the database busy with attempts that all fail."""
    queue, attempts = DueQueue(Counter({"dead.example": 500})), Attempts(frozenset({"dead.example"}))
    await run_for_one_interval(queue, attempts)
    assert attempts.made["dead.example"] == PACE.per_hop
    assert queue.looks <= 2


async def test_one_that_takes_nothing_does_not_slow_one_that_does() -> None:
    due = Counter({"dead.example": 500, "quick.example": 200})
    queue, attempts = DueQueue(due), Attempts(frozenset({"dead.example"}))
    await run_for_one_interval(queue, attempts)
    assert attempts.made == Counter({"dead.example": PACE.per_hop, "quick.example": 200})


async def test_mailboxes_do_not_wait_for_next_hops_that_are_slow() -> None:
    slow = {f"slow{number}.example" for number in range(3)}
    queue = DueQueue(Counter(dict.fromkeys(slow, 30)) + Counter({MAILBOX: 300}))
    attempts = Attempts(last=frozenset(slow))
    await run_for_one_interval(queue, attempts)
    assert attempts.made == Counter({MAILBOX: 300})
    assert sum(attempts.most_at_once[hop] for hop in slow) == PACE.concurrency
    assert attempts.most_at_once[MAILBOX] == PACE.mailboxes


async def test_who_is_beaten_to_what_was_due_looks_for_more_at_once() -> None:
    queue, attempts = DueQueue(Counter({"smart.example": 5}), beaten_at=frozenset({1, 2})), Attempts()
    await run_for_one_interval(queue, attempts)
    assert attempts.made["smart.example"] == 5
