"""Bearer tokens: shown once when made, kept as a hash."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.access.actor import Scope
from tripost_admin_api.access.tokens import digest_of, new_token
from tripost_admin_api.api import names, paging
from tripost_admin_api.api.models import Incoming, Moment, Outgoing, Page
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_shared.database.models import ApiToken

router = APIRouter(prefix="/tokens", tags=["tokens"])

TokenName = Annotated[
    str,
    AfterValidator(names.token_name),
    Field(examples=["backup-job"], json_schema_extra={"pattern": f"^{names.TOKEN_NAME.pattern}$"}),
]


Force = Annotated[bool, Query(description="Also when it is the token that the request itself comes with.")]


class TokenIn(Incoming):
    """A token to make."""

    name: TokenName
    scope: Scope = Scope.READ
    expires_at: Moment | None = Field(None, description="From then on the token is refused; null: never.")


class TokenOut(Outgoing):
    """What is known of a token; the token itself is not."""

    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class TokenMade(TokenOut):
    """A new token. `token` is shown this once."""

    token: str


@router.get("")
async def list_tokens(parts: PartsNeeded, query: paging.Listing) -> Page[TokenOut]:
    """List the tokens by name, those of operators' sessions among them."""
    statement = select(ApiToken).order_by(ApiToken.name).limit(query.limit + 1)
    after = paging.decode(query.cursor, tuple[str])
    if after is not None:
        statement = statement.where(ApiToken.name > after[0])
    async with parts.database.reading() as session:
        rows = (await session.scalars(statement)).all()
    items, following = paging.part(rows, query.limit, lambda row: [row.name])
    return Page(items=[TokenOut.model_validate(row) for row in items], next_cursor=following)


@router.post("", status_code=201)
async def add_token(body: TokenIn, parts: PartsNeeded, actor: ActorNeeded, response: Response) -> TokenMade:
    """Make a token."""
    if body.expires_at is not None and body.expires_at <= parts.clock.now():
        raise invalid("body.expires_at", "lies in the past")
    token = new_token()
    async with parts.changing(actor) as change:
        if await _find(change.session, body.name) is not None:
            raise Problem("conflict", f"There is a token {body.name} already.")
        row = ApiToken(
            name=body.name,
            scope=body.scope.value,
            token_sha256=digest_of(token),
            created_at=change.now,
            expires_at=body.expires_at,
        )
        change.session.add(row)
        expiry = body.expires_at.isoformat() if body.expires_at else None
        change.note("token.create", body.name, after={"scope": body.scope.value, "expires_at": expiry})
    response.headers["Location"] = f"/api/v1/tokens/{body.name}"
    return TokenMade(token=token, **TokenOut.model_validate(row).model_dump())


@router.get("/{name}")
async def show_token(name: str, parts: PartsNeeded) -> TokenOut:
    """Show what is known of a token."""
    async with parts.database.reading() as session:
        return TokenOut.model_validate(await _found(session, name))


@router.delete("/{name}", status_code=204)
async def remove_token(name: str, parts: PartsNeeded, actor: ActorNeeded, force: Force = False) -> None:
    """Revoke a token, at once."""
    async with parts.revoking(actor) as change:
        row = await _found(change.session, name)
        if row.token_sha256 == actor.proof and not (force or actor.operator):  # an operator's session is just ended
            raise Problem(
                "conflict",
                f"{name} is the token that this request itself came with, which opens nothing any more once it is "
                "revoked. To revoke it all the same: force=true, on the command line --force.",
            )
        await change.session.delete(row)
        change.note("token.delete", row.name, before={"scope": row.scope})


async def _find(session: AsyncSession, name: str) -> ApiToken | None:
    row: ApiToken | None = await session.scalar(select(ApiToken).where(ApiToken.name == name))
    return row


async def _found(session: AsyncSession, name: str) -> ApiToken:
    row = await _find(session, name) if name.isprintable() else None
    if row is None:
        raise Problem("not-found", f"There is no token {name!r}.")
    return row
