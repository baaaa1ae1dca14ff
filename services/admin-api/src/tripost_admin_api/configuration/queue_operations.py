"""What an operator does to queued deliveries: retry, hold, release, drop."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.configuration.changes import Change
from tripost_admin_api.configuration.queue_facts import note_fact
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.mail.address import folded


class Operation(StrEnum):
    """What to do."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    DROP = "drop"


NEXT_STATE: Final[Mapping[tuple[DeliveryState, Operation], DeliveryState | None]] = MappingProxyType(
    {  # None: the delivery is removed
        (DeliveryState.DEFERRED, Operation.RETRY): DeliveryState.DEFERRED,
        (DeliveryState.DEFERRED, Operation.HOLD): DeliveryState.HELD,
        (DeliveryState.DEFERRED, Operation.DROP): None,
        (DeliveryState.HELD, Operation.RELEASE): DeliveryState.DEFERRED,
        (DeliveryState.HELD, Operation.DROP): None,
    }
)

BECAUSE: Final[Mapping[DeliveryState, str]] = MappingProxyType(
    {
        DeliveryState.DEFERRED: "is not held",
        DeliveryState.HELD: "is held; release it to have it tried",
        DeliveryState.ATTEMPTING: "is being attempted at this moment",
    }
)

FACTS: Final[Mapping[Operation, Fact]] = MappingProxyType(
    {Operation.HOLD: Fact.HELD, Operation.RELEASE: Fact.RELEASED, Operation.DROP: Fact.DISCARDED}
)


@dataclass(slots=True)
class Outcome:
    """Recipients that were changed, and those left as they are with the reason.

    `dropped_content`: that of a message of which no delivery is left; "" for none.
    """

    changed: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    dropped_content: str = ""


async def operate(
    changing: AbstractAsyncContextManager[Change],
    operation: Operation,
    message_id: str,
    only: frozenset[str],
    actor: str,
) -> Outcome | None:
    """Do it to the deliveries whose recipient (folded) is in `only`, to all when that is empty.

    None when the message is not queued. A delivery that is being attempted is left alone: the attempt's outcome counts.
    """
    async with changing as change:
        # Locked before its deliveries, as the scheduler does it: two orders would be a deadlock now and then.
        message = await change.session.get(QueuedMessage, message_id, with_for_update=True)
        if message is None:
            return None
        outcome = await _apply(change, operation, message, only)
        if outcome.changed:
            change.note(f"queue.{operation}", message_id, after={"recipients": outcome.changed[:100]})
            for recipient in outcome.changed if operation in FACTS else ():
                note_fact(change, FACTS[operation], message_id, recipient, actor)
    return outcome


async def _apply(change: Change, operation: Operation, message: QueuedMessage, only: frozenset[str]) -> Outcome:
    outcome = Outcome()
    # The rows are locked, so that the scheduler claims none of them in between.
    rows = select(QueuedDelivery).where(QueuedDelivery.message_id == message.id).with_for_update()
    for delivery in (await change.session.scalars(rows)).all():
        if only and folded(delivery.recipient) not in only:
            continue
        has_run_out = _has_run_out(delivery, change.now)
        state = DeliveryState.DEFERRED if has_run_out else DeliveryState(delivery.state)
        if (state, operation) not in NEXT_STATE:
            outcome.skipped.append((delivery.recipient, BECAUSE[state]))
            continue
        outcome.changed.append(delivery.recipient)
        following = NEXT_STATE[state, operation]
        if following is None:
            await change.session.delete(delivery)
            continue
        if following is DeliveryState.HELD:
            _set_aside(delivery)
        else:
            _make_due(delivery, change.now)
        if operation is Operation.RELEASE:
            _begin_anew(delivery, change.now)
    await change.session.flush()
    if operation is Operation.DROP and not await _deliveries_left(change.session, message.id):
        outcome.dropped_content = message.content
        await change.session.delete(message)
    return outcome


def _set_aside(delivery: QueuedDelivery) -> None:
    """Hold it. The time of a claim that has run out stays, which tells the release that attempts may have been made."""
    delivery.state = DeliveryState.HELD.value
    delivery.claimed_by = ""


def _make_due(delivery: QueuedDelivery, now: datetime) -> None:
    """Let it be taken at once.

    One that was claimed may have been delivered, and nobody has noted it: it stays a claim, by nobody, so that domains
    asks the tracking what became of it before it delivers the message a second time.
    """
    delivery.next_attempt_at = now
    delivery.claimed_by = ""
    if delivery.claimed_until is None:
        delivery.state = DeliveryState.DEFERRED.value
    else:
        delivery.state, delivery.claimed_until = DeliveryState.ATTEMPTING.value, now


def _begin_anew(delivery: QueuedDelivery, now: datetime) -> None:
    """Give a delivery its whole time again, as domains had set it: what was held is not given up for its age."""
    delivery.expires_at = now + (delivery.expires_at - delivery.created_at)
    delivery.created_at = now


def _has_run_out(delivery: QueuedDelivery, now: datetime) -> bool:
    """Tell whether it is claimed by nobody any more."""
    is_claim = delivery.state == DeliveryState.ATTEMPTING
    return is_claim and delivery.claimed_until is not None and delivery.claimed_until <= now


async def _deliveries_left(session: AsyncSession, message_id: str) -> int:
    return await session.scalar(select(func.count()).where(QueuedDelivery.message_id == message_id)) or 0
