"""What follows from an attempt's outcomes: events, queue rows, the DSN."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tripost_domains.delivery.bouncer import Bouncer, NotSpooled
from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.facts import attempt_fact
from tripost_domains.delivery.informer import Informer, PutOff
from tripost_domains.delivery.outcome import Attempted, Result, expired
from tripost_domains.delivery.patience import until_done
from tripost_domains.delivery.waiting_room import WaitingRoom
from tripost_domains.queue.backoff import BackoffPolicy, delay_after, next_attempt
from tripost_domains.queue.model import Claim, Deferral
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.clock import Clock
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.spool.port import EventLog, SpoolUnavailable

log = structlog.get_logger()

DONE: Final = frozenset({Result.DELIVERED, Result.RELAYED})


@dataclass(slots=True)
class Sorted:
    """Outcomes by what is to be done about them, each with the attempts made before."""

    done: list[tuple[Attempted, int]] = field(default_factory=list)
    deferred: list[tuple[Attempted, int, Deferral]] = field(default_factory=list)
    failed: list[tuple[Attempted, int, datetime]] = field(default_factory=list)  # with the time of its expiry


class Settlement:
    """Settles messages so that a crash at any point repeats something and loses nothing.

    The order is: DSN into SPOOL, then rows into the queue, or events to disk and rows out of it; the caller of
    `settle_spooled` flushes the events and acknowledges. What it needs and cannot have now, it waits for, but for room
    in SPOOL.
    """

    def __init__(
        self,
        queue: QueueRepository,
        contents: Contents,
        bouncer: Bouncer,
        events: EventLog,
        policy: BackoffPolicy,
        clock: Clock,
        queueing: WaitingRoom,
        *,
        informer: Informer,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._contents = contents
        self._bouncer = bouncer
        self._events = events
        self._policy = policy
        self._clock = clock
        self._queueing = queueing
        self._informer = informer
        self._chance = chance

    async def settle_spooled(
        self,
        message: SpooledMessage,
        attempted: Sequence[Attempted],
        settled: set[str],
        *,
        may_be_repeated: bool,
        expanded: Sequence[Attempted] = (),
    ) -> Sorted:
        """Settle a message's first attempts; `settled` gets each recipient that must not be attempted again.

        `expanded` are its recipients that are aliases.
        """
        expires_at = message.received_at + self._policy.lifetime
        found = self._sort(message, [(each, 0, expires_at) for each in attempted])
        settled.update(each.recipient.address for each, _ in found.done)
        self._record(message, found.done)
        await self._tell_failures(message, found, may_be_told=may_be_repeated)
        settled.update(each.recipient.address for each, _, _ in found.failed)
        if found.deferred:
            with self._queueing.waiting():
                content = await self._contents.keep(message)
                deferrals = [deferral for _, _, deferral in found.deferred]
                await until_done(
                    lambda: self._queue.add(message, content, deferrals, self._clock.now()),
                    (DatabaseUnavailable,),
                    "queue deliveries",
                )
            self._record(message, [(each, before) for each, before, _ in found.deferred])
        elif message.content.stored:
            self._contents.forget_later(message.content.stored)
        successes = [*expanded, *(each for each, _ in found.done)]
        delays = [PutOff(each, None, deferral.expires_at) for each, _, deferral in found.deferred]
        await self._informer.inform(message, successes, delays, may_be_told=may_be_repeated)
        return found

    def note_done(self, message: SpooledMessage, attempted: Sequence[tuple[Attempted, int]]) -> None:
        """Record what was delivered before the end of all, each with the attempts before, for who takes the rest.

        What failed was told to nobody, and what was deferred is in no queue: both are attempted again.
        """
        self._record(message, [(each, before) for each, before in attempted if each.outcome.result in DONE])

    async def settle_claimed(
        self,
        message: SpooledMessage,
        claims: Sequence[Claim],
        attempted: Sequence[Attempted],
        lease: timedelta,
        *,
        expanded: Sequence[Attempted] = (),
    ) -> Sorted:
        """Settle attempts of the queue; a claim may have led to several recipients, or to none any more.

        Claims are renewed by `lease` before a sender is told of a failure. Of a claim that is no longer ours, only what
        was delivered is settled; the rest is left to whoever has it now.
        """
        origin = {claim.recipient.address: claim for claim in claims}
        found = self._sort(
            message,
            [
                (replace(each, first_source=claim.written_to), claim.attempts, claim.expires_at)
                for each, claim in ((each, origin[each.source]) for each in attempted)
            ],
        )
        self._record(message, found.done)
        left = await self._leave_what_is_lost(message, claims, found, lease)
        await self._tell_failures(message, found, may_be_told=True)
        await until_done(self._events.flush, (SpoolUnavailable,), "flush the event log")
        rows = {claim.recipient.address: claim.id for claim in claims}
        waiting = [_marked(origin[each.source], each, deferral) for each, _, deferral in found.deferred]
        put_off = {rows[each.recipient.address]: each for each in waiting if each.recipient.address in rows}
        instead = [each for each in waiting if each.recipient.address not in rows]
        done = [row for source, row in rows.items() if row not in put_off and source not in left]
        gone = await until_done(
            lambda: self._queue.settle(message.id, done, list(put_off.items()), instead, self._clock.now()),
            (DatabaseUnavailable,),
            "settle queued deliveries",
        )
        self._record(message, [(each, made) for each, made, _ in found.deferred if each.outcome.was_tried])
        if gone is not None:
            self._contents.forget_later(gone)
        successes = [*expanded, *(each for each, _ in found.done)]
        delays = [
            PutOff(each, origin[each.source].last_attempt_at, deferral.expires_at)
            for each, _, deferral in found.deferred
        ]
        await self._informer.inform(message, successes, delays, may_be_told=True)
        return found

    async def _leave_what_is_lost(
        self, message: SpooledMessage, claims: Sequence[Claim], found: Sorted, lease: timedelta
    ) -> set[str]:
        """Take out of `found` what is no longer ours to fail or replace by others; gives those claims' recipients."""
        is_plain = all(each.source == each.recipient.address for each, _, _ in found.deferred)
        if not found.failed and is_plain:  # what is put off or deleted is checked by the queue itself
            return set()
        ours = await until_done(
            lambda: self._queue.renew(claims, self._clock.now() + lease), (DatabaseUnavailable,), "renew claims"
        )
        lost = {claim.recipient.address for claim in claims if claim.id not in ours}
        open_ones = [each for each, _, _ in found.failed] + [each for each, _, _ in found.deferred]
        left = lost & {each.source for each in open_ones}
        if left:
            log.warning("claims were lost meanwhile, left to who has them", message_id=message.id, recipients=len(left))
            found.failed = [one for one in found.failed if one[0].source not in left]
            found.deferred = [one for one in found.deferred if one[0].source not in left]
        return left

    def _sort(self, message: SpooledMessage, attempted: Sequence[tuple[Attempted, int, datetime]]) -> Sorted:
        """Sort outcomes, each with the attempts made before it and the time at which its recipient is given up."""
        found = Sorted()
        now = self._clock.now()
        for each, before, expires_at in attempted:
            if each.outcome.result is Result.FAILED:
                found.failed.append((each, before, expires_at))
            elif each.outcome.result is not Result.DEFERRED:
                found.done.append((each, before))
            else:
                made = before + each.outcome.was_tried
                due = next_attempt(made if each.outcome.was_tried else 0, now, expires_at, self._policy, self._chance())
                if due is None:
                    given_up = replace(each, outcome=expired(each.outcome, message.received_at))
                    found.failed.append((given_up, before, expires_at))
                else:
                    deferral = _deferral(each, made, due, expires_at)
                    found.deferred.append((each, before, deferral))
        return found

    async def _tell_failures(self, message: SpooledMessage, found: Sorted, *, may_be_told: bool) -> None:
        """Tell the sender, or put the failures off: the queue makes these attempts again, and tells what comes of them.

        So nothing waits here that SPOOL may be waiting for.
        """
        if not found.failed:
            return
        failures = [(each, before) for each, before, _ in found.failed]
        failed_at = self._clock.now()  # before the DSN was made of it, as the trace is to show
        try:
            because = await self._bouncer.bounce(message, failures, may_be_told=may_be_told)
        except NotSpooled as error:
            log.warning("failures are told later", message_id=message.id, because=str(error), recipients=len(failures))
            due = self._clock.now() + delay_after(1, self._policy, self._chance())
            found.deferred += [
                (_untold(each, str(error)), before, _deferral(each, before, due, expires_at))
                for each, before, expires_at in found.failed
            ]
            found.failed = []
            return
        self._record(message, [(_explained(each, because), before) for each, before in failures], failed_at)

    def _record(
        self, message: SpooledMessage, attempted: Sequence[tuple[Attempted, int]], at: datetime | None = None
    ) -> None:
        at = at or self._clock.now()
        for each, before in attempted:
            self._events.record(attempt_fact(message.id, each, before + 1, at))


def _untold(attempted: Attempted, because: str) -> Attempted:
    """Make a deferral of a failure that the sender could not be told of; it counts as no attempt.

    The DSN's id depends on the attempts, so one that SPOOL has after all is the same DSN. It is not sent a second time,
    unless it has lain there untaken for longer than SPOOL passes over its id.
    """
    detail = f"failed, and the sender is told later: {because}"
    return replace(
        attempted, outcome=replace(attempted.outcome, result=Result.DEFERRED, detail=detail, was_tried=False)
    )


def _deferral(attempted: Attempted, made: int, due: datetime, expires_at: datetime) -> Deferral:
    return Deferral(
        attempted.recipient,
        attempted.next_hop,
        made,
        due,
        expires_at,
        str(attempted.outcome.reply),
        written_to=attempted.written_to,
    )


def _marked(claim: Claim, attempted: Attempted, deferral: Deferral) -> Deferral:
    """Keep in mind that the delivery may have been made before this claim, unless an attempt was made with it."""
    return replace(deferral, may_be_settled=claim.may_be_settled and not attempted.outcome.was_tried)


def _explained(attempted: Attempted, because: str) -> Attempted:
    """Add to the trace why nobody was told."""
    if not because:
        return attempted
    detail = "; ".join(part for part in (attempted.outcome.detail, because) if part)
    return replace(attempted, outcome=replace(attempted.outcome, detail=detail))
