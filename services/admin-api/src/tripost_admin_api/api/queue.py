"""The deferred queue: messages that wait for their next attempt, and what an operator does with them."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import paging
from tripost_admin_api.api.models import DomainName, Incoming, Outgoing, Page
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem
from tripost_admin_api.api.searching import RECIPIENT, SENDER, SearchedAddress, SearchedSender, SearchText, is_address
from tripost_admin_api.configuration.queue_operations import Operation, Outcome, operate
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.mail.address import folded
from tripost_shared.mail.identifier import is_message_id

router = APIRouter(prefix="/queue/messages", tags=["queue"])

SHOWN_IN_LIST = 20
SHOWN_ALONE = 1000


class DeliveryOut(Outgoing):
    """One recipient of a queued message. `last_reply` is what the next hop said, or why it was not reached.

    It is given up at `expires_at`, unless it is held then. Its time began at `created_at`, when it came into the queue
    or was released last.
    """

    recipient: str
    next_hop: str
    state: str
    attempts: int
    created_at: datetime
    last_attempt_at: datetime | None
    next_attempt_at: datetime
    expires_at: datetime
    last_reply: str


class QueuedMessageOut(Outgoing):
    """A queued message. `deliveries` may be the first ones only; `deliveries_total` counts all."""

    id: str
    reverse_path: str = Field(description="Empty for the null reverse-path.")
    size_octets: int
    received_at: datetime
    deliveries_total: int
    deliveries: list[DeliveryOut]


class SkippedOut(Outgoing):
    """A delivery that was left as it is."""

    recipient: str
    because: str


class OutcomeOut(Outgoing):
    """What an operation did."""

    id: str
    changed: list[str] = Field(description="The recipients concerned.")
    skipped: list[SkippedOut]


class OperationIn(Incoming):
    """Which deliveries of the message; all if left out."""

    recipients: tuple[str, ...] | None = Field(
        None, min_length=1, max_length=1000, description="An empty list is refused, as it might mean none."
    )


class QueueQuery(paging.ListQuery):
    """Which messages: those with a delivery that matches all that is given."""

    state: DeliveryState | None = None
    sender: SearchedSender | None = Field(None, description=SENDER)
    recipient: SearchedAddress | None = Field(None, description=RECIPIENT)
    domain: DomainName | None = Field(None, description="The recipient's domain.")
    next_hop: SearchText | None = Field(None, description="As a delivery shows it.")


@router.get("")
async def list_queued_messages(parts: PartsNeeded, query: Annotated[QueueQuery, Query()]) -> Page[QueuedMessageOut]:
    """List the queued messages by the time at which they were received, oldest first."""
    statement = listed(query, paging.decode(query.cursor, tuple[datetime, str]))
    async with parts.database.reading() as session:
        rows = (await session.scalars(statement)).all()
        rows, following = paging.part(rows, query.limit, lambda row: [row.received_at, row.id])
        items = await _with_deliveries(session, rows, SHOWN_IN_LIST)
    return Page(items=items, next_cursor=following)


@router.get("/{message_id}")
async def show_queued_message(message_id: str, parts: PartsNeeded) -> QueuedMessageOut:
    """Show a queued message with its deliveries."""
    async with parts.database.reading() as session:
        row = await session.get(QueuedMessage, message_id) if is_message_id(message_id) else None
        if row is None:
            raise _not_queued(message_id)
        return (await _with_deliveries(session, [row], SHOWN_ALONE))[0]


@router.post("/{message_id}/retry")
async def retry(message_id: str, parts: PartsNeeded, actor: ActorNeeded, body: OperationIn | None = None) -> OutcomeOut:
    """Try deferred deliveries again now; they expire when they would have."""
    return await _operate(Operation.RETRY, message_id, parts, actor, body)


@router.post("/{message_id}/hold")
async def hold(message_id: str, parts: PartsNeeded, actor: ActorNeeded, body: OperationIn | None = None) -> OutcomeOut:
    """Hold deferred deliveries: no attempt is made until they are released."""
    return await _operate(Operation.HOLD, message_id, parts, actor, body)


@router.post("/{message_id}/release")
async def release(
    message_id: str, parts: PartsNeeded, actor: ActorNeeded, body: OperationIn | None = None
) -> OutcomeOut:
    """Release held deliveries, and try them now; each has its whole time until it expires again."""
    return await _operate(Operation.RELEASE, message_id, parts, actor, body)


@router.post("/{message_id}/drop")
async def drop(message_id: str, parts: PartsNeeded, actor: ActorNeeded, body: OperationIn | None = None) -> OutcomeOut:
    """Remove deliveries for good, without telling the sender."""
    return await _operate(Operation.DROP, message_id, parts, actor, body)


def listed(query: QueueQuery, after: tuple[datetime, str] | None) -> Select[QueuedMessage]:
    """Select the messages from a position on, in the order of an index, one more than the limit."""
    # Not by id: the tenth message of a session would stand before its second one.
    at, identifier = QueuedMessage.received_at, QueuedMessage.id
    statement = select(QueuedMessage).where(*_conditions(query))
    if after is not None:
        statement = statement.where(tuple_(at, identifier) > after)
    return statement.order_by(at, identifier).limit(query.limit + 1)


def _conditions(query: QueueQuery) -> list[ColumnElement[bool]]:
    # No bare column where deliveries have an index of it: for each message of the list, SQLite would look through all
    # the deliveries that are in that state, or for that next hop, instead of through the message's own.
    of_message: list[ColumnElement[bool]] = []
    of_delivery: list[ColumnElement[bool]] = []
    if query.sender is not None:
        of_message.append(is_address(QueuedMessage.reverse_path, query.sender))
    if query.state is not None:
        of_delivery.append(QueuedDelivery.state.concat("") == query.state.value)
    if query.recipient is not None:
        of_delivery.append(is_address(QueuedDelivery.recipient, query.recipient))
    if query.domain is not None:
        of_delivery.append(is_address(QueuedDelivery.recipient, f"@{query.domain}"))
    if query.next_hop is not None:
        of_delivery.append(QueuedDelivery.next_hop.concat("") == query.next_hop)
    if of_delivery:
        deliveries = select(QueuedDelivery.id).where(QueuedDelivery.message_id == QueuedMessage.id, *of_delivery)
        of_message.append(deliveries.exists())
    return of_message


async def _operate(
    operation: Operation, message_id: str, parts: PartsNeeded, actor: ActorNeeded, body: OperationIn | None
) -> OutcomeOut:
    if not is_message_id(message_id):
        raise _not_queued(message_id)
    recipients = body.recipients if body is not None else None
    only = frozenset(folded(recipient) for recipient in recipients or ())
    outcome = await operate(parts.changing(actor), operation, message_id, only, actor.name)
    if outcome is None:
        raise _not_queued(message_id)
    if not outcome.changed:
        raise Problem("conflict", _why_nothing(operation, outcome))
    parts.facts.publish_soon()
    if outcome.dropped_content:
        parts.dropped.forget_later(outcome.dropped_content)
    skipped = [SkippedOut(recipient=recipient, because=because) for recipient, because in outcome.skipped]
    return OutcomeOut(id=message_id, changed=outcome.changed, skipped=skipped)


def _why_nothing(operation: Operation, outcome: Outcome) -> str:
    if not outcome.skipped:
        return "The message has no such recipient."
    recipient, because = outcome.skipped[0]
    more = f" ({len(outcome.skipped) - 1} more likewise)" if len(outcome.skipped) > 1 else ""
    return f"Nothing to {operation}: {recipient} {because}{more}."


def _not_queued(message_id: str) -> Problem:
    return Problem(
        "not-found", f"No message {message_id} is in the queue; its trace says whether it was delivered or given up."
    )


async def _with_deliveries(session: AsyncSession, rows: Any, most_per_message: int) -> list[QueuedMessageOut]:
    identifiers = [row.id for row in rows]
    counted = (
        select(QueuedDelivery.message_id, func.count())
        .where(QueuedDelivery.message_id.in_(identifiers))
        .group_by(QueuedDelivery.message_id)
    )
    totals: dict[str, int] = dict((await session.execute(counted)).all())
    deliveries: dict[str, list[DeliveryOut]] = {identifier: [] for identifier in identifiers}
    for delivery in await session.scalars(_first_deliveries(identifiers, most_per_message)):
        deliveries[delivery.message_id].append(DeliveryOut.model_validate(delivery))
    return [
        QueuedMessageOut(
            id=row.id,
            reverse_path=row.reverse_path,
            size_octets=row.size_octets,
            received_at=row.received_at,
            deliveries_total=totals.get(row.id, 0),
            deliveries=deliveries[row.id],
        )
        for row in rows
    ]


def _first_deliveries(identifiers: list[str], most_per_message: int) -> Select[QueuedDelivery]:
    """Select the first deliveries of each message, so that one with many recipients does not fill the answer."""
    place = func.row_number().over(partition_by=QueuedDelivery.message_id, order_by=QueuedDelivery.id)
    numbered = (
        select(QueuedDelivery.id, place.label("place")).where(QueuedDelivery.message_id.in_(identifiers)).subquery()
    )
    return (
        select(QueuedDelivery)
        .join(numbered, numbered.c.id == QueuedDelivery.id)
        .where(numbered.c.place <= most_per_message)
        .order_by(QueuedDelivery.id)
    )
