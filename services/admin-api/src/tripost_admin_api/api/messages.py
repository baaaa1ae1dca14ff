"""Tracking: find a message, and see all that happened to it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import ColumnElement, and_, func, or_, select

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.models import Moment, Page
from tripost_admin_api.api.parts import PartsNeeded
from tripost_admin_api.api.problems import Problem
from tripost_admin_api.api.searching import (
    RECIPIENT,
    SENDER,
    ClientAddress,
    MessageOrSession,
    SearchedAddress,
    SearchedSender,
    SearchText,
    is_address,
    lists_address,
)
from tripost_admin_api.api.trace import MessageOut, TraceOut, read_trace, summaries
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.spool import Direction
from tripost_shared.database.models import TrackedEvent, TrackedMessage
from tripost_shared.mail.identifier import is_message_id, is_session_id

router = APIRouter(prefix="/messages", tags=["messages"])


class MessageQuery(paging.ListQuery):
    """Which messages: those that match all that is given."""

    id: MessageOrSession | None = Field(None, description="A message's or a session's id.")
    sender: SearchedSender | None = Field(None, description=SENDER)
    recipient: SearchedAddress | None = Field(None, description=RECIPIENT)
    status: Fact | None = Field(None, description="The newest fact that settles something.")
    login: SearchText | None = Field(None, description="Whoever logged in, or tried to in vain: the whole user name.")
    client: ClientAddress | None = Field(None, description="The client's IP address.")
    direction: Direction | None = None
    since: Moment | None = Field(None, description="First seen then or later.")
    until: Moment | None = Field(None, description="First seen before.")


@router.get("")
async def list_messages(parts: PartsNeeded, query: Annotated[MessageQuery, Query()]) -> Page[MessageOut]:
    """List messages, and sessions that were refused, newest first."""
    statement = select(TrackedMessage).where(*_conditions(query))
    before = paging.decode(query.cursor, tuple[datetime, str])
    if before is not None:
        statement = statement.where(_older_than(*before))
    statement = statement.order_by(TrackedMessage.first_at.desc(), TrackedMessage.id.desc()).limit(query.limit + 1)
    async with parts.database.reading() as session:
        rows = (await session.scalars(statement)).all()
        rows, following = paging.part(rows, query.limit, lambda row: [row.first_at, row.id])
        items = await summaries(session, rows)
    return Page(items=items, next_cursor=following)


@router.get("/{identifier}")
async def show_message(identifier: str, parts: PartsNeeded) -> TraceOut:
    """Show the trace of a message, or of a whole session by its id: every fact in the order of time."""
    trace = None
    if is_message_id(identifier) or is_session_id(identifier):
        async with parts.database.reading() as session:
            trace = await read_trace(session, identifier)
    if trace is None:
        raise Problem(
            "not-found",
            f"Nothing is known of {identifier!r}. An id looks like {names.SAMPLE_ID}, and is part of the reply "
            "that the client got; what is forgotten after the retention time is not here.",
        )
    return trace


def _conditions(query: MessageQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.id is not None:
        conditions.append(or_(TrackedMessage.id == query.id, TrackedMessage.session_id == query.id))
    if query.sender is not None:
        conditions.append(is_address(TrackedMessage.reverse_path, query.sender))
    if query.recipient is not None:
        conditions.append(_received_by(query.recipient))
    if query.login is not None:
        conditions.append(_logged_in_as(query.login.lower()))
    if query.since is not None:
        conditions.append(TrackedMessage.first_at >= query.since)
    if query.until is not None:
        conditions.append(TrackedMessage.first_at < query.until)
    for column, value in (
        (TrackedMessage.status, query.status),
        (TrackedMessage.client, query.client),
        (TrackedMessage.direction, query.direction),
    ):
        if value is not None:
            conditions.append(column == str(value))
    return conditions


def _older_than(first_at: datetime, identifier: str) -> ColumnElement[bool]:
    return or_(
        TrackedMessage.first_at < first_at,
        and_(TrackedMessage.first_at == first_at, TrackedMessage.id < identifier),
    )


def _logged_in_as(login: str) -> ColumnElement[bool]:
    """Match who logged in, or a fact about an attempt in vain; in lower case."""
    of_attempt = func.lower(TrackedEvent.body["tried_login"].as_string()) == login
    tried = select(TrackedEvent.id).where(TrackedEvent.message_id == TrackedMessage.id, of_attempt).exists()
    return or_(func.lower(TrackedMessage.login) == login, tried)


def _received_by(recipient: str) -> ColumnElement[bool]:
    """Match a fact about the recipient, or the envelope's recipients, which are a JSON list in the fact's body."""
    listed = lists_address(TrackedEvent.body["recipients"], recipient)
    matches = or_(is_address(TrackedEvent.recipient, recipient), listed)
    return select(TrackedEvent.id).where(TrackedEvent.message_id == TrackedMessage.id, matches).exists()
