"""Tracking: find a message, and see all that happened to it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.message_search import MessageQuery, found, many_are_led_to
from tripost_admin_api.api.models import Page
from tripost_admin_api.api.parts import PartsNeeded
from tripost_admin_api.api.problems import Problem
from tripost_admin_api.api.trace import MessageOut, TraceOut, read_trace, summaries
from tripost_shared.mail.identifier import is_message_id, is_session_id

router = APIRouter(prefix="/messages", tags=["messages"])


@router.get("")
async def list_messages(parts: PartsNeeded, query: Annotated[MessageQuery, Query()]) -> Page[MessageOut]:
    """List messages, and sessions that were refused, newest first.

    By `status`, `client` or `direction` alone, or by two domains, those of the last 7 days, unless `since` is given.
    """
    before, question = paging.decode(query.cursor, tuple[datetime, str]), many_are_led_to(query)
    async with parts.database.reading() as session:
        are_many = question is not None and bool(await session.scalar(question))
        rows = (await session.scalars(found(query, before, parts.clock.now(), are_many=are_many))).all()
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
