"""The scheduler: attempts what is due in the deferred queue, and keeps its house.

Its claims may run out while the database is away and the attempts go on. Others leave them alone for one more lease;
and after an outage nobody takes over anything before it has seen the database for a lease, in which every replica
renews what it is still working on.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.delivery import metrics
from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.facts import unreadable_fact
from tripost_domains.delivery.outcome import MAILBOX
from tripost_domains.delivery.patience import every, until_done
from tripost_domains.queue.later_attempt import LaterAttempt
from tripost_domains.queue.model import ClaimedMessage, Share, Unreadable
from tripost_domains.queue.momentum import Momentum
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.queue.rows import UNREADABLE
from tripost_shared.clock import Clock
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.spool.port import EventLog, SpoolUnavailable

log = structlog.get_logger()

LEASE: Final = timedelta(seconds=60)
RENEW_EVERY: Final = timedelta(seconds=20)
GIVE_BACK_WITHIN: Final = timedelta(seconds=2)
KEEP_HOUSE_EVERY: Final = timedelta(seconds=30)
HOUSE_WAITS_FOR: Final = (DatabaseUnavailable, ContentUnavailable)
LONGEST_PAUSE_SECONDS: Final = 10.0  # between looks while the database is away
ASIDE_FOR: Final = timedelta(hours=1)
MAX_ASIDE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look at the whole queue, and how much to attempt at one time.

    `concurrency`: messages for next hops; `per_hop`: deliveries to one of them; `mailboxes`: deliveries to mailboxes,
    which stand apart from both. `gather_seconds`: attempts that end so close together make room for one look.
    """

    poll_seconds: float = 1.0
    concurrency: int = 50
    per_hop: int = 20
    mailboxes: int = 50
    gather_seconds: float = 0.02


class Scheduler:
    """Looks for due deliveries every second or so, which is also how soon an operator's "retry now" works.

    Where more is due than may be attempted at one time, it looks again as soon as attempts end, but only for next hops
    that take something (`Momentum`).
    """

    def __init__(
        self,
        queue: QueueRepository,
        attempt: LaterAttempt,
        contents: Contents,
        events: EventLog,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._queue = queue
        self._attempt = attempt
        self._contents = contents
        self._events = events
        self._clock = clock
        self._pace = pace
        self._working: dict[asyncio.Task[None], ClaimedMessage] = {}
        self._momentum = Momentum()
        self._has_room = asyncio.Event()  # for what may be due
        self._aside: dict[tuple[int, str], float] = {}  # rows by number and message, and until when
        self._loops: list[asyncio.Task[None]] = []
        self._sees_database_since: float | None = None
        self._is_heir = False  # whether what a former process of our name had claimed has been freed

    def start(self) -> None:
        """Begin to look."""
        self._loops = [
            asyncio.create_task(self._look()),
            asyncio.create_task(every(RENEW_EVERY, self._renew, (), "renew claims")),
            asyncio.create_task(every(KEEP_HOUSE_EVERY, self._keep_house, HOUSE_WAITS_FOR, "keep the queue's house")),
        ]

    async def drain(self) -> None:
        """Claim no more, and finish what is at hand; claims are renewed meanwhile."""
        if self._loops:
            self._loops[0].cancel()
        while self._working:
            await asyncio.wait(self._working)

    async def stop(self) -> None:
        """End; what is not finished is due again when its claim runs out, or at once if that can be said.

        It may have been attempted, so its facts come first: whoever takes it next asks the tracking.
        """
        tasks = {*self._loops, *self._working}
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        await asyncio.wait(tasks)
        try:
            async with asyncio.timeout(GIVE_BACK_WITHIN.total_seconds()):
                await self._events.flush()
                await self._queue.give_back(self._clock.now())
        except (DatabaseUnavailable, SpoolUnavailable, TimeoutError) as error:
            log.warning("claims will run out by themselves", because=str(error) or "no answer in time")

    async def _look(self) -> None:
        pause = self._pace.poll_seconds
        while True:
            self._momentum.begin()
            is_there = await self._seen(pause)
            pause = self._pace.poll_seconds if is_there else min(pause * 2, LONGEST_PAUSE_SECONDS)
            await self._go_on(pause)

    async def _go_on(self, seconds: float) -> None:
        """For so long, look again whenever attempts have made room."""
        now = asyncio.get_running_loop().time
        until = now() + seconds
        while now() < until:
            try:
                async with asyncio.timeout_at(until):
                    await self._has_room.wait()
            except TimeoutError:
                return
            await asyncio.sleep(self._pace.gather_seconds)
            self._has_room.clear()
            if not await self._seen(seconds):
                await asyncio.sleep(until - now())

    async def _seen(self, pause: float) -> bool:
        """Look once; False: the database does not answer."""
        try:
            await self.claim()
        except DatabaseUnavailable as error:
            log.warning("queue cannot be read", because=str(error), again_in_seconds=pause)
            return False
        except Exception:  # an entrance: nothing deferred would be attempted any more
            log.exception("queue could not be looked at")
        return True

    async def claim(self) -> None:
        """Claim what is due and begin to attempt it. Raises DatabaseUnavailable."""
        began_at = self._clock.monotonic()
        seen_since, self._sees_database_since = self._sees_database_since, None
        share = self._share(takes_over=seen_since is not None and began_at - seen_since >= LEASE.total_seconds())
        if not self._is_heir:  # before the first claim: those of our name are now a dead process's
            freed = await self._queue.give_back(self._clock.now())
            self._is_heir = True
            if freed:
                log.info("claims of the process before this one are freed", rows=freed)
        claimed = await self._queue.claim_due(self._clock.now(), LEASE, share)
        self._sees_database_since = began_at if seen_since is None else seen_since
        self._tell_unreadable(claimed.unreadable)
        self._momentum.looked(share, [claim for each in claimed.messages for claim in each.claims])
        if claimed.was_beaten:
            self._has_room.set()
        for each in claimed.messages:
            task = asyncio.create_task(self._work(each, began_at))
            self._working[task] = each
            task.add_done_callback(self._forget)

    def _share(self, *, takes_over: bool) -> Share:
        """Say for what there is room."""
        hops = [claimed.claims[0].next_hop for claimed in self._working.values()]
        return Share(
            at_most=max(0, self._pace.concurrency - sum(hop != MAILBOX for hop in hops)),
            per_hop=self._pace.per_hop,
            mailboxes=self._pace.mailboxes,
            busy=Counter(claim.next_hop for claimed in self._working.values() for claim in claimed.claims),
            busy_rows=self._busy_rows() | self._rows_aside(),
            stuck=self._momentum.stuck,
            takes_over=takes_over,
        )

    def _tell_unreadable(self, held: Sequence[Unreadable]) -> None:
        now = self._clock.now()
        for message_id, _, recipients, _ in held:
            for recipient in recipients:
                self._events.record(unreadable_fact(message_id, recipient, UNREADABLE, now))

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._working[task]

    async def _work(self, claimed: ClaimedMessage, began_at: float) -> None:
        got_on = False
        try:
            got_on = await self._attempt.make(claimed, began_at)
        except Exception:  # an entrance: a message that breaks us must harm no other, nor be delivered again and again
            log.exception("queued message broke the scheduler", message_id=claimed.message.id)
            self._set_aside(claimed)
        if self._momentum.ended(claimed.claims[0].next_hop, got_on=got_on):
            self._has_room.set()

    def _set_aside(self, claimed: ClaimedMessage) -> None:
        """Leave deliveries alone for a while that may have been made and could not be settled: repeating is worse."""
        if len(self._aside) < MAX_ASIDE:
            until = self._clock.monotonic() + ASIDE_FOR.total_seconds()
            self._aside.update(((claim.id, claim.message_id), until) for claim in claimed.claims)

    def _rows_aside(self) -> frozenset[tuple[int, str]]:
        now = self._clock.monotonic()
        self._aside = {row: until for row, until in self._aside.items() if until > now}
        return frozenset(self._aside)

    def _busy_rows(self) -> frozenset[tuple[int, str]]:
        return frozenset((claim.id, claim.message_id) for claimed in self._working.values() for claim in claimed.claims)

    async def _renew(self) -> None:
        """Renew the claims at hand; while the database is away, as soon as it is back."""
        await until_done(self._renew_once, (DatabaseUnavailable,), "renew claims")

    async def _renew_once(self) -> None:
        if claims := [claim for claimed in self._working.values() for claim in claimed.claims]:
            await self._queue.renew(claims, self._clock.now() + LEASE)

    async def _keep_house(self) -> None:
        """Measure the queue, and forget the content of what was settled some time ago."""
        state = await self._queue.state()
        for name, count in state.counts.items():
            metrics.QUEUED.labels(name.value).set(count)
        oldest = (self._clock.now() - state.oldest_at).total_seconds() if state.oldest_at is not None else 0.0
        metrics.OLDEST_SECONDS.set(oldest)
        await self._contents.forget_due(self._queue.refers_to)
