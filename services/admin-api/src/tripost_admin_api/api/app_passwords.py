"""Application passwords: made by the server, shown once, each for one program of a mailbox's user."""

from datetime import datetime
from typing import Annotated, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.mailboxes import found_mailbox
from tripost_admin_api.api.models import ClientNetwork, Incoming, Moment, Outgoing, Page
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_shared.database.models import AppPassword, Mailbox
from tripost_shared.logins.app_passwords import app_password_digest, new_app_password

router = APIRouter(prefix="/mailboxes/{address}/app-passwords", tags=["application passwords"])

MOST: Final = 50  # of a mailbox; domains reads all of them at each login

Scope = Literal["submission"]
Name = Annotated[
    str,
    AfterValidator(names.app_password_name),
    Field(examples=["phone"], json_schema_extra={"pattern": f"^{names.TOKEN_NAME.pattern}$"}),
]


class AppPasswordIn(Incoming):
    """An application password to make."""

    name: Name
    scope: list[Scope] = Field(["submission"], min_length=1, description="Kinds of listeners that it is good for.")
    networks: list[ClientNetwork] = Field([], max_length=20, description="Where from it is good; none: from anywhere.")
    expires_at: Moment | None = Field(None, description="From then on it is refused; null: never.")


class AppPasswordOut(Outgoing):
    """What is known of an application password; the password itself is not."""

    name: str
    scope: list[str]
    networks: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class AppPasswordMade(AppPasswordOut):
    """A new application password. `password` is shown this once."""

    password: str


@router.get("")
async def list_app_passwords(address: str, parts: PartsNeeded, query: paging.Listing) -> Page[AppPasswordOut]:
    """List a mailbox's application passwords by name."""
    after = paging.decode(query.cursor, tuple[str])
    async with parts.database.reading() as session:
        mailbox = await found_mailbox(session, address)
        statement = select(AppPassword).where(AppPassword.mailbox_id == mailbox.id)
        if after is not None:
            statement = statement.where(AppPassword.name > after[0])
        rows = (await session.scalars(statement.order_by(AppPassword.name).limit(query.limit + 1))).all()
    items, following = paging.part(rows, query.limit, lambda row: [row.name])
    return Page(items=[AppPasswordOut.model_validate(row) for row in items], next_cursor=following)


@router.post("", status_code=201)
async def add_app_password(
    address: str, body: AppPasswordIn, parts: PartsNeeded, actor: ActorNeeded, response: Response
) -> AppPasswordMade:
    """Make an application password; it is good within two seconds."""
    if body.expires_at is not None and body.expires_at <= parts.clock.now():
        raise invalid("body.expires_at", "lies in the past")
    password = new_app_password()
    async with parts.changing(actor) as change:
        mailbox = await found_mailbox(change.session, address)
        if await _find(change.session, mailbox, body.name) is not None:
            raise Problem("conflict", f"{address} has an application password {body.name} already.")
        owned = select(func.count()).where(AppPassword.mailbox_id == mailbox.id)
        if (await change.session.scalar(owned) or 0) >= MOST:
            raise Problem(
                "conflict", f"{address} has {MOST} application passwords, which is the most; remove one first."
            )
        row = AppPassword(
            mailbox_id=mailbox.id,
            name=body.name,
            digest=app_password_digest(password),
            scope=list(dict.fromkeys(body.scope)),
            networks=list(dict.fromkeys(body.networks)),
            created_at=change.now,
            expires_at=body.expires_at,
        )
        change.session.add(row)
        await change.touch_directory()
        change.note("app-password.create", names.mailbox(address), after=_audited(row))
    response.headers["Location"] = f"/api/v1/mailboxes/{quote(address)}/app-passwords/{body.name}"
    return AppPasswordMade(password=password, **AppPasswordOut.model_validate(row).model_dump())


@router.get("/{name}")
async def show_app_password(address: str, name: str, parts: PartsNeeded) -> AppPasswordOut:
    """Show what is known of an application password."""
    async with parts.database.reading() as session:
        return AppPasswordOut.model_validate(await _found(session, address, name))


@router.delete("/{name}", status_code=204)
async def remove_app_password(address: str, name: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Revoke an application password: nobody sends by it any more, also in sessions that are open."""
    async with parts.changing(actor) as change:
        row = await _found(change.session, address, name)
        await change.session.delete(row)
        await change.touch_directory()
        change.note("app-password.delete", names.mailbox(address), before=_audited(row))


def _audited(row: AppPassword) -> dict[str, object]:
    expiry = row.expires_at.isoformat() if row.expires_at else None
    return {"name": row.name, "scope": row.scope, "networks": row.networks, "expires_at": expiry}


async def _find(session: AsyncSession, mailbox: Mailbox, name: str) -> AppPassword | None:
    row: AppPassword | None = await session.scalar(
        select(AppPassword).where(AppPassword.mailbox_id == mailbox.id, AppPassword.name == name)
    )
    return row


async def _found(session: AsyncSession, address: str, name: str) -> AppPassword:
    mailbox = await found_mailbox(session, address)
    row = await _find(session, mailbox, name) if name.isprintable() else None
    if row is None:
        raise Problem("not-found", f"{address} has no application password {name!r}.")
    return row
