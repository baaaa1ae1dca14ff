"""The dispatcher: asks the directory where recipients lead, and lets the agents attempt it, side by side."""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, Final, Protocol

import structlog

from tripost_domains.delivery.metrics import count_delivery
from tripost_domains.delivery.outcome import MAILBOX, Attempted, Outcome, Trial, deferred
from tripost_domains.delivery.plan import Plan, Target, hop_name, plan
from tripost_domains.directory.model import MailboxDestination, NextHop
from tripost_domains.ports import RecipientResolver
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.envelope import Recipient

log = structlog.get_logger()

MAILBOXES_AT_ONCE: Final = 128  # of one message: others must not stand behind all of an alias for thousands


class MailboxDelivery(Protocol):
    """What puts messages into mailboxes."""

    async def deliver(self, message: SpooledMessage, mailbox: MailboxDestination, trial: Trial) -> Outcome:
        """Put the message into the mailbox."""
        ...


class Relay(Protocol):
    """What passes messages on to next hops."""

    async def relay(
        self, message: SpooledMessage, hop: NextHop, recipients: Sequence[str], trial: Trial
    ) -> dict[str, Outcome]:
        """Send the message to these recipients; gives an outcome for each."""
        ...


class Dispatcher:
    """Attempts deliveries."""

    def __init__(self, directory: RecipientResolver, mailboxes: MailboxDelivery, relay: Relay) -> None:
        self._directory = directory
        self._mailboxes = mailboxes
        self._relay = relay

    async def plan(self, recipients: Sequence[Recipient], settled: Collection[str] = ()) -> Plan:
        """Ask where the recipients lead; raises TransientFailure when the directory cannot be read now."""
        return plan([(each, await self._directory.resolve(each.address)) for each in recipients], settled)

    async def attempt(self, message: SpooledMessage, todo: Plan, trial: Trial) -> list[Attempted]:
        """Do what is planned; gives the outcome for each recipient, whatever breaks."""
        turns = asyncio.Semaphore(MAILBOXES_AT_ONCE)
        work = [self._deliver(message, target, mailbox, trial, turns) for target, mailbox in todo.mailboxes]
        work += [self._pass_on(message, hop, targets, trial) for hop, targets in todo.relays.items()]
        if len(work) == 1:
            return todo.refused + await work[0]
        return todo.refused + [attempted for part in await _side_by_side(work) for attempted in part]

    async def _deliver(
        self,
        message: SpooledMessage,
        target: Target,
        mailbox: MailboxDestination,
        trial: Trial,
        turns: asyncio.Semaphore,
    ) -> list[Attempted]:
        try:
            async with turns:
                outcome = await self._mailboxes.deliver(message, mailbox, trial)
        except Exception as error:  # an entrance: the other recipients' outcomes must not be lost
            log.exception("mailbox agent broke", message_id=message.id, mailbox=mailbox.address)
            outcome = _broke(error)
        count_delivery(outcome.result, "mailbox")
        return [Attempted(target.recipient, target.source, MAILBOX, outcome)]

    async def _pass_on(
        self, message: SpooledMessage, hop: NextHop, targets: Sequence[Target], trial: Trial
    ) -> list[Attempted]:
        try:
            outcomes = await self._relay.relay(message, hop, [target.recipient.address for target in targets], trial)
        except Exception as error:  # an entrance, as above
            log.exception("relay agent broke", message_id=message.id, next_hop=hop_name(hop))
            outcomes = {target.recipient.address: _broke(error) for target in targets}
        attempted = [
            Attempted(target.recipient, target.source, hop_name(hop), outcomes[target.recipient.address])
            for target in targets
        ]
        for each in attempted:
            count_delivery(each.outcome.result, "relay")
        return attempted


async def _side_by_side(work: Sequence[Coroutine[Any, Any, list[Attempted]]]) -> list[list[Attempted]]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in work]
    return [task.result() for task in tasks]


def _broke(error: Exception) -> Outcome:
    """Give the outcome of a mistake of ours: it never fails a message."""
    return deferred("4.3.0", "Temporary failure", detail=type(error).__name__)
