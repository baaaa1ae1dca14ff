"""The mailboxes of our domains."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import names
from tripost_admin_api.api.domains import domain_of_ours
from tripost_admin_api.api.former import REMOVED_MAILBOX, removed_at
from tripost_admin_api.api.mailbox_logins import forget_secrets, keep, mechanisms_with_secret, prepare
from tripost_admin_api.api.models import Incoming, MailboxAddress, NewPassword, Outgoing, Page
from tripost_admin_api.api.of_domains import OfDomainQuery, find_held, list_held
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.api.queued_for import Force, refuse_while_queued_for_mailbox
from tripost_shared.database.models import Alias, Domain, Mailbox

router = APIRouter(prefix="/mailboxes", tags=["mailboxes"])


class MailboxIn(Incoming):
    """A mailbox to add."""

    address: MailboxAddress
    password: NewPassword | None = Field(None, description="Without one, mail arrives but nobody can log in.")
    enabled: bool = True


class MailboxPatch(Incoming):
    """What to change."""

    enabled: bool


class PasswordIn(Incoming):
    """A new password."""

    password: NewPassword


class MailboxOut(Outgoing):
    """A mailbox; a disabled one takes no mail and lets nobody log in."""

    address: str
    enabled: bool
    has_password: bool
    secrets: list[str] = Field(
        description="Mechanisms beside PLAIN and LOGIN that it has what is needed for: those which its domain allowed "
        "when the password was set last."
    )
    created_at: datetime


class MailboxMade(MailboxOut):
    """A new mailbox."""

    former_removed_at: datetime | None = Field(
        description="When a mailbox of this address, or its domain with mailboxes, was removed last: mail of then "
        "may still be in the folder, and is the new mailbox's then. Null: never."
    )


@router.get("")
async def list_mailboxes(parts: PartsNeeded, query: OfDomainQuery) -> Page[MailboxOut]:
    """List the mailboxes by domain and name."""
    items, following = await list_held(parts, Mailbox, query)
    async with parts.database.reading() as session:
        secrets = await mechanisms_with_secret(session, [row.id for row, _ in items])
    return Page(items=[_shown(row, name, secrets[row.id]) for row, name in items], next_cursor=following)


@router.post("", status_code=201)
async def add_mailbox(body: MailboxIn, parts: PartsNeeded, actor: ActorNeeded, response: Response) -> MailboxMade:
    """Add a mailbox to a domain of ours."""
    login = None if body.password is None else await prepare(parts, body.password, body.address)
    local_part, domain = names.halves(body.address)
    async with parts.changing(actor) as change:
        owner = await domain_of_ours(change.session, domain)
        if owner is None:
            raise invalid("body.address", f"{domain} is not one of your domains; add it first")
        if await find_held(change.session, Mailbox, domain, local_part) is not None:
            raise Problem("conflict", f"The mailbox {body.address} exists already.")
        if await find_held(change.session, Alias, domain, local_part) is not None:
            raise invalid("body.address", f"there is an alias {body.address}, which it would hide; remove that first")
        former = await removed_at(change.session, body.address)
        row = Mailbox(
            domain_id=owner.id,
            local_part=local_part,
            enabled=body.enabled,
            created_at=change.now,
        )
        change.session.add(row)
        if login is not None:
            await keep(parts, change, row, owner, login)
        await change.touch_directory()
        secrets = await _secrets(change.session, row)
        change.note("mailbox.create", body.address, after=_audited(row))
    response.headers["Location"] = f"/api/v1/mailboxes/{quote(body.address)}"
    return MailboxMade(**_shown(row, domain, secrets).model_dump(), former_removed_at=former)


@router.get("/{address}")
async def show_mailbox(address: str, parts: PartsNeeded) -> MailboxOut:
    """Show a mailbox."""
    async with parts.database.reading() as session:
        row = await found_mailbox(session, address)
        return _shown(row, names.halves(address)[1], await _secrets(session, row))


@router.patch("/{address}")
async def change_mailbox(address: str, body: MailboxPatch, parts: PartsNeeded, actor: ActorNeeded) -> MailboxOut:
    """Enable or disable a mailbox."""
    async with parts.changing(actor) as change:
        row = await found_mailbox(change.session, address)
        before = _audited(row)
        row.enabled = body.enabled
        await change.touch_directory()
        change.note("mailbox.update", _key(address), before, _audited(row))
        return _shown(row, names.halves(address)[1], await _secrets(change.session, row))


@router.put("/{address}/password", status_code=204)
async def set_password(address: str, body: PasswordIn, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Set a mailbox's password; the old one is no longer good within two seconds."""
    login = await prepare(parts, body.password, _key(address))
    async with parts.changing(actor) as change:
        row = await found_mailbox(change.session, address)
        owner = await change.session.get_one(Domain, row.domain_id)
        await keep(parts, change, row, owner, login)
        await change.touch_directory()
        change.note("mailbox.password", _key(address))


@router.delete("/{address}/password", status_code=204)
async def remove_password(address: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Remove a mailbox's password: only by its application passwords, if it has any, can its user log in."""
    async with parts.changing(actor) as change:
        row = await found_mailbox(change.session, address)
        before = _audited(row)
        row.password_hash = None
        await forget_secrets(change.session, row)
        await change.touch_directory()
        change.note("mailbox.password", _key(address), before, _audited(row))


@router.delete("/{address}", status_code=204)
async def remove_mailbox(address: str, parts: PartsNeeded, actor: ActorNeeded, *, force: Force = False) -> None:
    """Remove a mailbox with its grants; one for which mail is queued only by `force`. Its mail stays on disk."""
    async with parts.changing(actor) as change:
        row = await found_mailbox(change.session, address)
        if not force:
            await refuse_while_queued_for_mailbox(change.session, _key(address))
        await change.session.delete(row)
        await change.touch_directory()
        change.note(REMOVED_MAILBOX, _key(address), before=_audited(row))


async def found_mailbox(session: AsyncSession, address: str) -> Mailbox:
    """Give the mailbox of an address; raises Problem."""
    local_part, domain = names.halves(_key(address))
    row = await find_held(session, Mailbox, domain, local_part)
    if row is None:
        raise Problem("not-found", f"There is no mailbox {_key(address)}.")
    return row


def _key(address: str) -> str:
    try:
        return names.mailbox(address)
    except ValueError as error:
        raise Problem("not-found", str(error)) from None


def _audited(row: Mailbox) -> dict[str, Any]:
    return {"enabled": row.enabled, "has_password": row.password_hash is not None}


async def _secrets(session: AsyncSession, row: Mailbox) -> list[str]:
    return (await mechanisms_with_secret(session, [row.id]))[row.id]


def _shown(row: Mailbox, domain: str, secrets: list[str]) -> MailboxOut:
    return MailboxOut(
        address=names.joined(row.local_part, domain),
        enabled=row.enabled,
        has_password=row.password_hash is not None,
        secrets=secrets,
        created_at=row.created_at,
    )
