"""Operators: from a password to a session's token, and to another password."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.access.actor import Scope
from tripost_admin_api.access.authentication import end_sessions, session_token_name
from tripost_admin_api.access.passwords import complaint_about
from tripost_admin_api.access.tokens import digest_of, new_token
from tripost_admin_api.api.models import Incoming, NewPassword, Outgoing
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_shared.database.models import ApiToken, Operator

router = APIRouter(tags=["operators"])


class SessionOut(Outgoing):
    """Who asks. `scope` is what the credentials are good for."""

    actor: str
    scope: Scope


class SessionMade(SessionOut):
    """A session: send `token` as a bearer token until it expires."""

    token: str
    expires_at: datetime


class OperatorPasswordIn(Incoming):
    """An operator's new password."""

    password: Annotated[NewPassword, Field(description="At least 8 characters, and none that is tried first.")]


@router.get("/session")
async def show_session(actor: ActorNeeded) -> SessionOut:
    """Say who asks."""
    return SessionOut(actor=actor.name, scope=actor.scope or Scope.READ)


@router.post("/session", status_code=201)
async def begin_session(parts: PartsNeeded, actor: ActorNeeded) -> SessionMade:
    """Begin a session by an operator's password (HTTP Basic)."""
    token = new_token()
    now = parts.clock.now()
    expires_at = now + parts.session_lifetime
    async with parts.changing(actor) as change:
        await end_sessions(change.session, actor.operator, expired_before=now)
        row = ApiToken(
            name=session_token_name(actor.operator),
            scope=Scope.ADMIN.value,
            token_sha256=digest_of(token),
            created_at=now,
            expires_at=expires_at,
        )
        change.session.add(row)
        change.note("session.create", actor.operator)
    return SessionMade(actor=actor.name, scope=Scope.ADMIN, token=token, expires_at=expires_at)


@router.put("/operators/{name}/password", status_code=204)
async def set_operator_password(
    name: Annotated[str, Path(max_length=100)], body: OperatorPasswordIn, parts: PartsNeeded, actor: ActorNeeded
) -> None:
    """Set an operator's password, by the present one (HTTP Basic) or with an admin token; their sessions end."""
    password = body.password.get_secret_value()
    complaint = complaint_about(password, name)
    if complaint:
        raise invalid("body.password", complaint)
    async with parts.database.reading() as session:
        present = await _found(session, name)
    if await parts.passwords.verify(password, present.password_hash):
        raise invalid("body.password", "is the present one; choose another")
    password_hash = await parts.passwords.hash(password)
    async with parts.revoking(actor) as change:
        row = await _found(change.session, name)
        if row.password_hash != present.password_hash:
            raise Problem("conflict", f"The password of operator {name} has just been changed by someone else.")
        row.password_hash = password_hash
        row.must_change_password = False
        await end_sessions(change.session, name)
        change.note("operator.password", name)


async def _found(session: AsyncSession, name: str) -> Operator:
    row: Operator | None = None
    if name.isprintable():
        row = await session.scalar(select(Operator).where(Operator.name == name))
    if row is None:
        raise Problem("not-found", f"There is no operator {name!r}.")
    return row
