"""The dispatcher: asks the directory where recipients lead, and lets the agents attempt it, side by side."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, Protocol, TypeAlias

import structlog

from tripost_domains.delivery.early_word import EarlyWord
from tripost_domains.delivery.metrics import count_delivery
from tripost_domains.delivery.outcome import MAILBOX, Attempted, Outcome, Trial, deferred
from tripost_domains.delivery.plan import Plan, Target, hop_name, plan
from tripost_domains.directory.model import MailboxDestination, NextHop, Resolution
from tripost_domains.ports import RecipientResolver
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.envelope import Recipient

log = structlog.get_logger()

MAILBOXES_AT_ONCE: Final = 128  # of one message: others must not stand behind all of an alias for thousands

Job: TypeAlias = Callable[[list[Attempted]], Coroutine[Any, Any, None]]  # adds what became of its recipients


class MailboxDelivery(Protocol):
    """What puts messages into mailboxes."""

    async def deliver(self, message: SpooledMessage, mailbox: MailboxDestination, trial: Trial) -> Outcome:
        """Put the message into the mailbox."""
        ...


class Relay(Protocol):
    """What passes messages on to next hops."""

    async def relay(
        self,
        message: SpooledMessage,
        hop: NextHop,
        recipients: Sequence[Recipient],
        trial: Trial,
        outcomes: dict[str, Outcome],
    ) -> None:
        """Send the message to these recipients; `outcomes` gets one for each, or those known when it is cancelled."""
        ...


class Dispatcher:
    """Attempts deliveries."""

    def __init__(self, directory: RecipientResolver, mailboxes: MailboxDelivery, relay: Relay) -> None:
        self._directory = directory
        self._mailboxes = mailboxes
        self._relay = relay

    async def plan(
        self, recipients: Sequence[Recipient], settled: Collection[str] = (), direction: Direction | None = None
    ) -> Plan:
        """Ask where the recipients lead; raises TransientFailure when the directory cannot be read now.

        `direction` of a message whose recipients are as edge has taken them.
        """
        resolved = await self._resolved([each.redirected_to or each.address for each in recipients], direction)
        return plan([(each, resolved[each.redirected_to or each.address]) for each in recipients], settled)

    async def _resolved(self, addresses: Sequence[str], direction: Direction | None) -> dict[str, Resolution]:
        """Take no denial from memory: edge may have asked another replica, which a change had reached before us."""
        found = dict(zip(addresses, await self._directory.resolve_all(addresses), strict=True))
        denied = [address for address, each in found.items() if _is_denial(each, direction)]
        if denied:
            found.update(zip(denied, await self._directory.resolve_all(denied, afresh=True), strict=True))
        return found

    async def attempt(
        self, message: SpooledMessage, todo: Plan, trial: Trial, note: Callable[[Sequence[Attempted]], None]
    ) -> list[Attempted]:
        """Do what is planned; gives the outcome for each recipient, whatever breaks.

        `note` gets what is decided before the end of all: what was delivered must not be delivered again after a
        cancellation, or a crash while another recipient's host takes minutes.
        """
        turns = asyncio.Semaphore(MAILBOXES_AT_ONCE)
        jobs: list[Job] = [
            partial(self._deliver, message, target, mailbox, trial, turns) for target, mailbox in todo.mailboxes
        ]
        jobs += [partial(self._pass_on, message, hop, targets, trial) for hop, targets in todo.relays.items()]
        parts: list[list[Attempted]] = [[] for _ in jobs]
        early = EarlyWord(note, len(jobs))
        try:
            await _side_by_side([early.of(job(part), part) for job, part in zip(jobs, parts, strict=True)])
        except asyncio.CancelledError:
            note([*chain.from_iterable(parts)])
            raise
        finally:
            early.close()
        return [*todo.refused, *chain.from_iterable(parts)]

    async def _deliver(
        self,
        message: SpooledMessage,
        target: Target,
        mailbox: MailboxDestination,
        trial: Trial,
        turns: asyncio.Semaphore,
        attempted: list[Attempted],
    ) -> None:
        try:
            async with turns:
                outcome = await self._mailboxes.deliver(message, mailbox, trial)
        except Exception as error:  # an entrance: the other recipients' outcomes must not be lost
            log.exception("mailbox agent broke", message_id=message.id, mailbox=mailbox.address)
            outcome = _broke(error)
        count_delivery(outcome.result, "mailbox")
        attempted.append(Attempted(target.recipient, target.source, MAILBOX, outcome))

    async def _pass_on(
        self,
        message: SpooledMessage,
        hop: NextHop,
        targets: Sequence[Target],
        trial: Trial,
        attempted: list[Attempted],
    ) -> None:
        recipients = [target.recipient for target in targets]
        outcomes: dict[str, Outcome] = {}
        try:
            await self._relay.relay(message, hop, recipients, trial, outcomes)
        except asyncio.CancelledError:
            attempted += _relayed(hop, [target for target in targets if target.recipient.address in outcomes], outcomes)
            raise
        except Exception as error:  # an entrance, as above
            log.exception("relay agent broke", message_id=message.id, next_hop=hop_name(hop))
            outcomes = dict.fromkeys((each.address for each in recipients), _broke(error)) | outcomes
        attempted += _relayed(hop, targets, outcomes)


def _is_denial(found: Resolution, direction: Direction | None) -> bool:
    """Tell whether it says no to what edge was told yes for: edge takes nothing foreign from a client not ours."""
    is_refused_at_edge = direction is Direction.INBOUND and found.kind is RecipientKind.FOREIGN
    return not found.destinations or bool(found.dead_ends) or is_refused_at_edge


def _relayed(hop: NextHop, targets: Sequence[Target], outcomes: Mapping[str, Outcome]) -> list[Attempted]:
    """Count what became of recipients, and join it with where it was to go."""
    attempted: list[Attempted] = []
    for target in targets:
        outcome = outcomes[target.recipient.address]
        count_delivery(outcome.result, "relay")
        attempted.append(Attempted(target.recipient, target.source, hop_name(hop), outcome))
    return attempted


async def _side_by_side(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    if len(work) == 1:
        await work[0]
        return
    async with asyncio.TaskGroup() as group:
        for part in work:
            group.create_task(part)


def _broke(error: Exception) -> Outcome:
    """Give the outcome of a mistake of ours: it never fails a message."""
    return deferred("4.3.0", "Temporary failure", detail=type(error).__name__)
