"""The scheduler: attempts what is due in the deferred queue, and keeps its house.

Its claims may run out while the database is away and the attempts go on. Others leave them alone for one more lease;
and after an outage nobody takes over anything before it has seen the database for a lease, in which every replica
renews what it is still working on.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.delivery import metrics
from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.dispatch import Dispatcher
from tripost_domains.delivery.facts import expanded_fact
from tripost_domains.delivery.outcome import Trial
from tripost_domains.delivery.patience import until_done
from tripost_domains.delivery.plan import Plan
from tripost_domains.delivery.settlement import Settlement
from tripost_domains.ports import History, TrackingUnavailable
from tripost_domains.queue.model import ClaimedMessage, Share
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.clock import Clock
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.mail.failures import TransientFailure
from tripost_shared.spool.port import EventLog

log = structlog.get_logger()

LEASE: Final = timedelta(seconds=60)
RENEW_EVERY: Final = timedelta(seconds=20)
RELEASE_WITHIN: Final = timedelta(seconds=2)
KEEP_HOUSE_EVERY: Final = timedelta(seconds=30)
LONGEST_PAUSE_SECONDS: Final = 10.0  # between looks while the database is away
ASIDE_FOR: Final = timedelta(hours=1)
MAX_ASIDE: Final = 10_000
DIRECTORY_PAUSE: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look, how many messages to attempt at one time, and how many deliveries to one next hop."""

    poll_seconds: float = 1.0
    concurrency: int = 50
    per_hop: int = 20


class Scheduler:
    """Looks for due deliveries every second or so, which is also how soon an operator's "retry now" works."""

    def __init__(
        self,
        queue: QueueRepository,
        dispatcher: Dispatcher,
        settlement: Settlement,
        history: History,
        contents: Contents,
        events: EventLog,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._queue = queue
        self._history = history
        self._dispatcher = dispatcher
        self._settlement = settlement
        self._contents = contents
        self._events = events
        self._clock = clock
        self._pace = pace
        self._working: dict[asyncio.Task[None], ClaimedMessage] = {}
        self._aside: dict[int, float] = {}  # rows, and until when
        self._loops: list[asyncio.Task[None]] = []
        self._sees_database_since: float | None = None

    def start(self) -> None:
        """Begin to look."""
        self._loops = [
            asyncio.create_task(self._look()),
            asyncio.create_task(self._every(RENEW_EVERY, self._renew)),
            asyncio.create_task(self._every(KEEP_HOUSE_EVERY, self._keep_house)),
        ]

    async def drain(self) -> None:
        """Claim no more, and finish what is at hand; claims are renewed meanwhile."""
        if self._loops:
            self._loops[0].cancel()
        while self._working:
            await asyncio.wait(self._working)

    async def stop(self) -> None:
        """End; what is not finished is due again when its claim runs out, or at once if it can be said."""
        tasks = {*self._loops, *self._working}
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        await asyncio.wait(tasks)
        try:
            async with asyncio.timeout(RELEASE_WITHIN.total_seconds()):
                await self._queue.release(None, self._clock.now())
        except (DatabaseUnavailable, TimeoutError) as error:
            log.warning("claims will run out by themselves", because=str(error) or "no answer in time")

    async def _look(self) -> None:
        pause = self._pace.poll_seconds
        while True:
            try:
                is_full = await self.claim()
                pause = self._pace.poll_seconds
            except DatabaseUnavailable as error:
                log.warning("queue cannot be read", because=str(error), again_in_seconds=pause)
                is_full = False
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            except Exception:
                log.exception("queue could not be looked at")
                is_full = False
            if is_full and self._working:
                await asyncio.wait(self._working, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(pause)

    async def claim(self) -> bool:
        """Claim what is due and begin to attempt it; tells whether there may be more. Raises DatabaseUnavailable."""
        room = self._pace.concurrency - len(self._working)
        if room <= 0:
            return True
        busy = Counter(claim.next_hop for claimed in self._working.values() for claim in claimed.claims)
        began_at = self._clock.monotonic()
        seen_since, self._sees_database_since = self._sees_database_since, None
        share = Share(
            at_most=room,
            per_hop=self._pace.per_hop,
            busy_hops=frozenset(hop for hop, count in busy.items() if count >= self._pace.per_hop),
            busy_rows=self._busy_rows() | self._rows_aside(),
            takes_over=seen_since is not None and began_at - seen_since >= LEASE.total_seconds(),
        )
        claimed = await self._queue.claim_due(self._clock.now(), LEASE, share)
        self._sees_database_since = began_at if seen_since is None else seen_since
        for each in claimed:
            task = asyncio.create_task(self._work(each, began_at))
            self._working[task] = each
            task.add_done_callback(self._forget)
        return sum(len(each.claims) for each in claimed) >= room

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._working[task]

    async def _work(self, claimed: ClaimedMessage, began_at: float) -> None:
        if claimed.may_be_settled:
            claimed = await self._without_settled(claimed)
            if not claimed.claims:
                return
        todo = await self._plan(claimed)
        if todo is None:
            return
        try:
            await self._attempt(claimed, todo, began_at)
        except Exception:
            log.exception("queued message broke the scheduler", message_id=claimed.message.id)
            self._set_aside(claimed)

    async def _without_settled(self, claimed: ClaimedMessage) -> ClaimedMessage:
        """Delete the rows of deliveries that were made before a crash; their facts come before their deletion."""
        message = claimed.message
        past = await until_done(lambda: self._history.past_of(message.id), (TrackingUnavailable,), "read the tracking")
        settled = past.settled(())
        done = [claim.id for claim in claimed.claims if claim.recipient.address in settled]
        if not done:
            return claimed
        log.info("queued deliveries were made before", message_id=message.id, rows=len(done))
        gone = await until_done(
            lambda: self._queue.settle(message.id, done, (), (), self._clock.now()),
            (DatabaseUnavailable,),
            "settle queued deliveries",
        )
        if gone is not None:
            self._contents.forget_later(gone)
        return replace(claimed, claims=tuple(claim for claim in claimed.claims if claim.id not in done))

    async def _plan(self, claimed: ClaimedMessage) -> Plan | None:
        """Ask where the recipients lead; None: not now. Nothing was attempted, so a claim may just run out."""
        try:
            return await self._dispatcher.plan([claim.recipient for claim in claimed.claims])
        except TransientFailure as error:
            log.warning("directory cannot be read", message_id=claimed.message.id, because=error.because)
        except Exception:
            log.exception("queued message cannot be planned", message_id=claimed.message.id)
        try:
            await self._queue.release([claim.id for claim in claimed.claims], self._clock.now() + DIRECTORY_PAUSE)
        except DatabaseUnavailable as error:
            log.warning("claims will run out by themselves", message_id=claimed.message.id, because=str(error))
        except Exception:
            log.exception("claims could not be given back, they will run out", message_id=claimed.message.id)
        return None

    async def _attempt(self, claimed: ClaimedMessage, todo: Plan, began_at: float) -> None:
        message, claims = claimed.message, claimed.claims
        for expansion, left_out in todo.expansions:
            self._events.record(expanded_fact(message.id, expansion, left_out, self._clock.now()))
        number = min(claim.attempts for claim in claims) + 1
        attempted = await self._dispatcher.attempt(
            message, todo, Trial(number=number, may_be_repeated=True, began_at=began_at)
        )
        found = await self._settlement.settle_claimed(message, claims, attempted, LEASE)
        log.info(
            "queued message attempted",
            message_id=message.id,
            attempt=number,
            done=len(found.done),
            deferred=len(found.deferred),
            failed=len(found.failed),
        )

    def _set_aside(self, claimed: ClaimedMessage) -> None:
        """Leave deliveries alone for a while that may have been made and could not be settled: repeating is worse."""
        if len(self._aside) < MAX_ASIDE:
            until = self._clock.monotonic() + ASIDE_FOR.total_seconds()
            self._aside.update((claim.id, until) for claim in claimed.claims)

    def _rows_aside(self) -> frozenset[int]:
        now = self._clock.monotonic()
        self._aside = {row: until for row, until in self._aside.items() if until > now}
        return frozenset(self._aside)

    def _busy_rows(self) -> frozenset[int]:
        return frozenset(claim.id for claimed in self._working.values() for claim in claimed.claims)

    async def _every(self, interval: timedelta, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval.total_seconds())
            try:
                await job()
            except (DatabaseUnavailable, ContentUnavailable) as error:
                log.warning("queue's housekeeping waits", because=str(error))
            except Exception:
                log.exception("queue's housekeeping broke")

    async def _renew(self) -> None:
        """Renew the claims at hand; while the database is away, as soon as it is back."""
        await until_done(self._renew_once, (DatabaseUnavailable,), "renew claims")

    async def _renew_once(self) -> None:
        if ids := self._busy_rows():
            await self._queue.renew(ids, self._clock.now() + LEASE)

    async def _keep_house(self) -> None:
        """Measure the queue, and forget the content of what was settled some time ago."""
        state = await self._queue.state()
        for name, count in state.counts.items():
            metrics.QUEUED.labels(name.value).set(count)
        oldest = (self._clock.now() - state.oldest_at).total_seconds() if state.oldest_at is not None else 0.0
        metrics.OLDEST_SECONDS.set(oldest)
        await self._contents.forget_due(self._queue.refers_to)
