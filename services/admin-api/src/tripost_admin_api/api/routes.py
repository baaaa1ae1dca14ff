"""Routes: where mail for domains that are not ours goes."""

from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Response
from pydantic import Field, ValidationInfo, field_validator, model_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.domains import domain_of_ours
from tripost_admin_api.api.models import Host, Incoming, Outgoing, Page, RouteDomain
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.api.queued_for import Force, refuse_while_queued_for_route
from tripost_shared.database.models import Route
from tripost_shared.mail.lookup import relayable_from_anyone

router = APIRouter(prefix="/routes", tags=["routes"])

DEFAULT_PORT: Final = 25


class RouteSettings(Incoming):
    """Where the mail goes."""

    host: Host | None = Field(None, description="The next hop's name or address; null: found by MX records.")
    port: int | None = Field(
        None, ge=1, le=65535, description="The port of `host`, 25 unless given; without a host there is none to give."
    )
    tls: Literal["none", "may", "encrypt"] = Field(
        "may", description="`may`: TLS when the next hop offers it; `encrypt`: never without."
    )
    accepts_from_anyone: bool = Field(
        False, description="Take mail for this domain from any client (we are its MX), not from ours only."
    )

    @field_validator("port")
    @classmethod
    def _of_a_host(cls, port: int | None, others: ValidationInfo) -> int | None:
        """Refuse what would have no effect; a host that is wrong itself is not among the others."""
        if port is not None and others.data.get("host", "") is None:
            raise ValueError("belongs to a host, and none is given; hosts that MX records name have the usual port")
        return port

    def columns(self) -> dict[str, Any]:
        """Give what the database is to hold."""
        return self.model_dump() | {"port": self.port or DEFAULT_PORT}


class RouteIn(RouteSettings):
    """A route to add."""

    domain: RouteDomain

    @model_validator(mode="after")
    def _not_for_everyone(self) -> "RouteIn":
        if self.accepts_from_anyone and not relayable_from_anyone(self.domain):
            raise ValueError(_open_relay(self.domain))
        return self


class RouteOut(Outgoing):
    """A route; the most specific one for a domain is used."""

    domain: str
    host: str | None
    port: int | None = Field(description="Null without a host.")
    tls: str
    accepts_from_anyone: bool
    created_at: datetime


@router.get("")
async def list_routes(parts: PartsNeeded, query: paging.Listing) -> Page[RouteOut]:
    """List the routes by domain."""
    statement = select(Route).order_by(Route.domain).limit(query.limit + 1)
    after = paging.decode(query.cursor, tuple[str])
    if after is not None:
        statement = statement.where(Route.domain > after[0])
    async with parts.database.reading() as session:
        rows = (await session.scalars(statement)).all()
    items, following = paging.part(rows, query.limit, lambda row: [row.domain])
    return Page(items=[_shown(row) for row in items], next_cursor=following)


@router.post("", status_code=201)
async def add_route(body: RouteIn, parts: PartsNeeded, actor: ActorNeeded, response: Response) -> RouteOut:
    """Add a route."""
    async with parts.changing(actor) as change:
        if await _find(change.session, body.domain) is not None:
            raise Problem("conflict", f"There is a route for {body.domain} already.")
        if await domain_of_ours(change.session, body.domain) is not None:
            raise invalid("body.domain", f"{body.domain} is a domain of yours, to which no route applies")
        row = Route(created_at=change.now, **body.columns())
        change.session.add(row)
        await change.touch_directory()
        change.note("route.create", body.domain, after=_audited(row))
    response.headers["Location"] = f"/api/v1/routes/{quote(body.domain)}"
    return _shown(row)


@router.get("/{domain}")
async def show_route(domain: str, parts: PartsNeeded) -> RouteOut:
    """Show a route."""
    async with parts.database.reading() as session:
        return _shown(await _found(session, domain))


@router.put("/{domain}")
async def replace_route(domain: str, body: RouteSettings, parts: PartsNeeded, actor: ActorNeeded) -> RouteOut:
    """Replace all of a route's settings; what is left out has its default."""
    async with parts.changing(actor) as change:
        row = await _found(change.session, domain)
        if body.accepts_from_anyone and not relayable_from_anyone(row.domain):
            raise invalid("body.accepts_from_anyone", _open_relay(row.domain))
        before = _audited(row)
        for name, value in body.columns().items():
            setattr(row, name, value)
        await change.touch_directory()
        change.note("route.update", row.domain, before, _audited(row))
    return _shown(row)


@router.delete("/{domain}", status_code=204)
async def remove_route(domain: str, parts: PartsNeeded, actor: ActorNeeded, *, force: Force = False) -> None:
    """Remove a route; one for which mail is queued, which then goes where the remaining ones lead, only by `force`."""
    async with parts.changing(actor) as change:
        row = await _found(change.session, domain)
        if not force:
            await refuse_while_queued_for_route(change.session, row)
        await change.session.delete(row)
        await change.touch_directory()
        change.note("route.delete", row.domain, before=_audited(row))


def _open_relay(domain: str) -> str:
    return (
        f"taking mail for {domain} from any client would be an open relay; accepted for that is a domain with a dot in "
        "its name, or all below one, such as example.org or .example.org"
    )


async def _find(session: AsyncSession, domain: str) -> Route | None:
    row: Route | None = await session.scalar(select(Route).where(Route.domain == domain))
    return row


async def _found(session: AsyncSession, domain: str) -> Route:
    try:
        wanted = names.route_domain(domain)
    except ValueError as error:
        raise Problem("not-found", str(error)) from None
    row = await _find(session, wanted)
    if row is None:
        raise Problem("not-found", f"There is no route for {wanted}.")
    return row


def _shown(row: Route) -> RouteOut:
    return RouteOut(domain=row.domain, created_at=row.created_at, **_audited(row))


def _audited(row: Route) -> dict[str, Any]:
    return {
        "host": row.host,
        "port": None if row.host is None else row.port,
        "tls": row.tls,
        "accepts_from_anyone": row.accepts_from_anyone,
    }
