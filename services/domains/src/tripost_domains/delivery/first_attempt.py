"""The first attempt for a message from SPOOL: what was done before, what the verdict says, then delivery.

It is bounded: SPOOL is trimmed up to the oldest message that is not acknowledged (docs/decisions/0003), so a slow next
hop must not keep one for long. What cannot be done in time, or not at all, goes on in the deferred queue.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.dispatch import Dispatcher
from tripost_domains.delivery.facts import expanded_fact
from tripost_domains.delivery.holding import Holding, Waiting, waiting_of
from tripost_domains.delivery.outcome import Trial
from tripost_domains.delivery.patience import until_done
from tripost_domains.delivery.plan import Plan, lost
from tripost_domains.delivery.settlement import Settlement
from tripost_domains.ports import History
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.queue.settled import settled_recipients
from tripost_shared.clock import Clock
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.contracts.filter import Action, Verdict
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.envelope import Recipient
from tripost_shared.mail.failures import TransientFailure
from tripost_shared.mail.reply import SmtpReply
from tripost_shared.spool.port import EventLog

log = structlog.get_logger()

WITHIN: Final = timedelta(minutes=2)  # until the final dot
DELIVERED_WITH: Final = frozenset({Action.ACCEPT, Action.TAG})  # edge spools nothing that is refused or discarded


class FirstAttempt:
    """Does with a message what is to be done, once."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        settlement: Settlement,
        holding: Holding,
        queue: QueueRepository,
        history: History,
        contents: Contents,
        events: EventLog,
        clock: Clock,
    ) -> None:
        self._dispatcher = dispatcher
        self._settlement = settlement
        self._holding = holding
        self._queue = queue
        self._history = history
        self._contents = contents
        self._events = events
        self._clock = clock

    async def make(self, message: SpooledMessage, settled: set[str], *, may_be_repeated: bool) -> None:
        """Attempt and settle; `settled` gets each recipient that must not be attempted again, whatever breaks then."""
        if may_be_repeated:
            settled |= await self._settled_before(message)
        held = [recipient for recipient in message.envelope.recipients if recipient.held_because]
        others = [recipient for recipient in message.envelope.recipients if not recipient.held_because]
        todo = await self._plan_told(message, others, settled)
        verdict = message.verdict
        if held:
            settled |= await self._hold_by_rules(message, held, {*settled, *_addresses(todo)})
            if not others:
                return
        if verdict is not None and verdict.action not in DELIVERED_WITH:
            await self._holding.hold(message, waiting_of(todo), _held_by(verdict))
            log.info("message held", message_id=message.id, action=verdict.action.value, rule=verdict.rule)
            return
        if may_be_repeated and await self._is_lost(message, todo):
            log.error("content is lost: the sender is told", message_id=message.id)
            attempted = lost(todo)
        else:
            trial = Trial(may_be_repeated=may_be_repeated, within=WITHIN)
            attempted = await self._dispatcher.attempt(
                message, todo, trial, lambda cut: self._settlement.note_done(message, [(each, 0) for each in cut])
            )
        found = await self._settlement.settle_spooled(
            message, attempted, settled, may_be_repeated=may_be_repeated, expanded=todo.expanded
        )
        log.info(
            "message settled",
            message_id=message.id,
            done=len(found.done),
            deferred=len(found.deferred),
            failed=len(found.failed),
        )

    async def _plan_told(
        self, message: SpooledMessage, recipients: Sequence[Recipient], settled: Collection[str]
    ) -> Plan:
        """Say what is to be done for some recipients, the expansions recorded."""
        todo = await self._plan(message, recipients, settled)
        for expansion, left_out in todo.expansions:
            self._events.record(expanded_fact(message.id, expansion, left_out, self._clock.now()))
        return todo

    async def _hold_by_rules(
        self, message: SpooledMessage, held: Sequence[Recipient], settled: Collection[str]
    ) -> set[str]:
        """Hold those that control rules want held; gives their addresses, and those that they lead to."""
        done: set[str] = set()
        for because in dict.fromkeys(recipient.held_because for recipient in held):
            alike = [recipient for recipient in held if recipient.held_because == because]
            todo = await self._plan_told(message, alike, {*settled, *done})
            await self._holding.hold(message, waiting_of(todo), SmtpReply(451, "4.7.0", because))
            log.info("message held", message_id=message.id, recipients=len(alike), because=because)
            done |= {*_addresses(todo), *(recipient.address for recipient in alike)}
        return done

    async def give_up(self, message: SpooledMessage, settled: Collection[str], error: Exception) -> None:
        """Hold what is not settled of a message that breaks us again and again; raises what breaks here too."""
        try:
            waiting = waiting_of(await self._plan(message, message.envelope.recipients, settled))
        except Exception:  # what broke us may be the planning itself, and holding is the last resort
            log.exception("message cannot be planned, it is held as its envelope has it", message_id=message.id)
            waiting = [Waiting(each, "") for each in message.envelope.recipients if each.address not in settled]
        await self._holding.hold(message, waiting, _held_for(error))
        log.error(
            "message held for the administrator", message_id=message.id, recipients=len(waiting), because=repr(error)
        )

    async def _plan(self, message: SpooledMessage, recipients: Sequence[Recipient], settled: Collection[str]) -> Plan:
        return await until_done(
            lambda: self._dispatcher.plan(recipients, settled, message.direction),
            (TransientFailure,),
            "read the directory",
        )

    async def _settled_before(self, message: SpooledMessage) -> set[str]:
        """Name the recipients for whom an earlier taker has done all."""
        envelope = [recipient.address for recipient in message.envelope.recipients]
        return await settled_recipients(self._queue, self._history, message.id, envelope)

    async def _is_lost(self, message: SpooledMessage, todo: Plan) -> bool:
        """Tell whether content that is still needed is no more.

        It is deleted some time after the last delivery, so of one that nobody knows the end of it should be there.
        """
        if not waiting_of(todo):
            return False
        return await until_done(
            lambda: self._contents.is_missing(message.content), (ContentUnavailable,), "look for content"
        )


def _addresses(todo: Plan) -> set[str]:
    return {waiting.recipient.address for waiting in waiting_of(todo)}


def _held_by(verdict: Verdict) -> SmtpReply:
    rule = f" by rule {verdict.rule}" if verdict.rule else ""
    return SmtpReply(451, "4.7.0", f"Held for the administrator: the verdict is {verdict.action.value}{rule}")


def _held_for(error: Exception) -> SmtpReply:
    return SmtpReply(451, "4.3.0", f"Delivery is broken, held for the administrator: {type(error).__name__}")
