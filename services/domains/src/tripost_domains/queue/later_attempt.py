"""A later attempt: what is done with a message's deliveries that the scheduler has claimed in the deferred queue."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Final
from weakref import WeakValueDictionary

import structlog

from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.dispatch import Dispatcher
from tripost_domains.delivery.facts import expanded_fact
from tripost_domains.delivery.outcome import Trial
from tripost_domains.delivery.patience import until_done
from tripost_domains.delivery.plan import Plan, lost
from tripost_domains.delivery.settlement import Settlement
from tripost_domains.ports import History, TrackingUnavailable
from tripost_domains.queue.model import ClaimedMessage
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.queue.settled import settled_recipients
from tripost_shared.clock import Clock
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.mail.failures import TransientFailure
from tripost_shared.spool.port import EventLog

log = structlog.get_logger()

DIRECTORY_PAUSE: Final = timedelta(seconds=30)


class LaterAttempt:
    """Does with claimed deliveries what is to be done, once; `lease` is how long a claim lasts."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        settlement: Settlement,
        queue: QueueRepository,
        history: History,
        contents: Contents,
        events: EventLog,
        clock: Clock,
        lease: timedelta,
    ) -> None:
        self._dispatcher = dispatcher
        self._settlement = settlement
        self._queue = queue
        self._history = history
        self._contents = contents
        self._events = events
        self._clock = clock
        self._lease = lease
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by the message's id

    async def make(self, claimed: ClaimedMessage, began_at: float) -> bool:
        """Attempt and settle; tells whether any of it has left the queue. `began_at` (monotonic): of the claim.

        A message's deliveries to several next hops are attempted side by side. Those that aliases replace by others
        take turns: two of them may lead to one address, and that address may have a delivery of its own. Replicas take
        no turns with each other: an address may get a second copy where two of one message's recipients were made
        aliases of it after they were queued, and their attempts overlap on two replicas.
        """
        if claimed.may_be_settled:
            claimed = await self._without_settled(claimed)
            if not claimed.claims:
                return True
        todo = await self._plan(claimed)
        if todo is None:
            return False
        if not todo.expansions:
            return await self._attempt(claimed, todo, began_at)
        async with self._turns.setdefault(claimed.message.id, asyncio.Lock()):
            todo = await self._plan(claimed, await self._settled_by_others(claimed))
            return todo is not None and await self._attempt(claimed, todo, began_at)

    async def _without_settled(self, claimed: ClaimedMessage) -> ClaimedMessage:
        """Delete the rows of deliveries that were made before a crash; their facts come before their deletion."""
        message = claimed.message
        past = await until_done(lambda: self._history.past_of(message.id), (TrackingUnavailable,), "read the tracking")
        settled = past.settled((), _recipients(claimed))
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

    async def _settled_by_others(self, claimed: ClaimedMessage) -> set[str]:
        """Name the recipients that have or had a delivery of their own, but for those claimed here."""
        settled = await settled_recipients(self._queue, self._history, claimed.message.id)
        return settled.difference(_recipients(claimed))

    async def _plan(self, claimed: ClaimedMessage, settled: Collection[str] = ()) -> Plan | None:
        """Ask where the recipients lead; None: not now. Nothing was attempted, so a claim may just run out."""
        try:
            return await self._dispatcher.plan([claim.recipient for claim in claimed.claims], settled)
        except TransientFailure as error:
            log.warning("directory cannot be read", message_id=claimed.message.id, because=error.because)
        except Exception:  # nothing was attempted yet, so it may be tried again; once out of here it is set aside
            log.exception("queued message cannot be planned", message_id=claimed.message.id)
        try:
            await self._queue.release(claimed.claims, self._clock.now() + DIRECTORY_PAUSE)
        except DatabaseUnavailable as error:
            log.warning("claims will run out by themselves", message_id=claimed.message.id, because=str(error))
        except Exception:  # whatever it is: a claim runs out by itself
            log.exception("claims could not be given back, they will run out", message_id=claimed.message.id)
        return None

    async def _attempt(self, claimed: ClaimedMessage, todo: Plan, began_at: float) -> bool:
        message, claims = claimed.message, claimed.claims
        for expansion, left_out in todo.expansions:
            self._events.record(expanded_fact(message.id, expansion, left_out, self._clock.now()))
        before = {claim.recipient.address: claim.attempts for claim in claims}
        if await self._is_lost(message):
            log.error("content is lost: the sender is told", message_id=message.id)
            attempted = lost(todo)
        else:
            attempted = await self._dispatcher.attempt(
                message,
                todo,
                Trial(may_be_repeated=True, began_at=began_at),
                lambda cut: self._settlement.note_done(message, [(each, before[each.source]) for each in cut]),
            )
        found = await self._settlement.settle_claimed(message, claims, attempted, self._lease, expanded=todo.expanded)
        log.info(
            "queued message attempted",
            message_id=message.id,
            attempt=min(claim.attempts for claim in claims) + 1,
            done=len(found.done),
            deferred=len(found.deferred),
            failed=len(found.failed),
        )
        return bool(found.done or found.failed)

    async def _is_lost(self, message: SpooledMessage) -> bool:
        """Look for the content, before a next hop is told of a message that is none; a store that is away has it."""
        try:
            return await self._contents.is_missing(message.content)
        except ContentUnavailable:
            return False


def _recipients(claimed: ClaimedMessage) -> list[str]:
    return [claim.recipient.address for claim in claimed.claims]
