"""Sender grants: which foreign reverse-paths a mailbox may use."""

from datetime import datetime
from urllib.parse import quote

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.mailboxes import found_mailbox
from tripost_admin_api.api.models import GrantPattern, Incoming, Outgoing, Page
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem
from tripost_shared.database.models import Mailbox, SenderGrant

router = APIRouter(prefix="/mailboxes/{address}/grants", tags=["sender grants"])


class GrantIn(Incoming):
    """A grant to add."""

    pattern: GrantPattern


class GrantOut(Outgoing):
    """A reverse-path, or with `@domain` all of a domain, that the mailbox may use beside its own addresses."""

    pattern: str
    created_at: datetime


@router.get("")
async def list_grants(address: str, parts: PartsNeeded, query: paging.Listing) -> Page[GrantOut]:
    """List a mailbox's grants."""
    after = paging.decode(query.cursor, tuple[str])
    async with parts.database.reading() as session:
        mailbox = await found_mailbox(session, address)
        statement = select(SenderGrant).where(SenderGrant.mailbox_id == mailbox.id)
        if after is not None:
            statement = statement.where(SenderGrant.pattern > after[0])
        rows = (await session.scalars(statement.order_by(SenderGrant.pattern).limit(query.limit + 1))).all()
    items, following = paging.part(rows, query.limit, lambda row: [row.pattern])
    return Page(items=[GrantOut.model_validate(row) for row in items], next_cursor=following)


@router.post("", status_code=201)
async def add_grant(
    address: str, body: GrantIn, parts: PartsNeeded, actor: ActorNeeded, response: Response
) -> GrantOut:
    """Let a mailbox use a foreign reverse-path."""
    async with parts.changing(actor) as change:
        mailbox = await found_mailbox(change.session, address)
        if await _find(change.session, mailbox, body.pattern) is not None:
            raise Problem("conflict", f"{address} may send as {body.pattern} already.")
        row = SenderGrant(mailbox_id=mailbox.id, pattern=body.pattern, created_at=change.now)
        change.session.add(row)
        await change.touch_directory()
        change.note("grant.create", names.mailbox(address), after={"pattern": body.pattern})
    response.headers["Location"] = f"/api/v1/mailboxes/{quote(address)}/grants/{quote(body.pattern)}"
    return GrantOut.model_validate(row)


@router.get("/{pattern:path}")
async def show_grant(address: str, pattern: str, parts: PartsNeeded) -> GrantOut:
    """Show a grant."""
    async with parts.database.reading() as session:
        return GrantOut.model_validate(await _found(session, address, pattern))


@router.delete("/{pattern:path}", status_code=204)
async def remove_grant(address: str, pattern: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Take a grant back."""
    async with parts.changing(actor) as change:
        row = await _found(change.session, address, pattern)
        await change.session.delete(row)
        await change.touch_directory()
        change.note("grant.delete", names.mailbox(address), before={"pattern": row.pattern})


async def _find(session: AsyncSession, mailbox: Mailbox, pattern: str) -> SenderGrant | None:
    row: SenderGrant | None = await session.scalar(
        select(SenderGrant).where(SenderGrant.mailbox_id == mailbox.id, SenderGrant.pattern == pattern)
    )
    return row


async def _found(session: AsyncSession, address: str, pattern: str) -> SenderGrant:
    mailbox = await found_mailbox(session, address)
    try:
        wanted = names.granted(pattern)
    except ValueError as error:
        raise Problem("not-found", str(error)) from None
    row = await _find(session, mailbox, wanted)
    if row is None:
        raise Problem("not-found", f"{address} has no grant for {wanted}.")
    return row
