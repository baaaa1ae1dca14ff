"""Aliases: addresses of our domains that lead to others; `*@domain` is a domain's catch-all."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import names
from tripost_admin_api.api.domains import domain_of_ours
from tripost_admin_api.api.models import AliasAddress, Incoming, Outgoing, Page, TargetAddress
from tripost_admin_api.api.of_domains import OfDomain, find_held, list_held
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.api.searching import SearchedAddress, lists_address
from tripost_admin_api.configuration.alias_ways import AliasWays
from tripost_shared.database.models import Alias, Mailbox

router = APIRouter(prefix="/aliases", tags=["aliases"])

Targets = Annotated[list[TargetAddress], Field(min_length=1, max_length=200)]


class AliasIn(Incoming):
    """An alias to add."""

    address: AliasAddress
    targets: Targets


class TargetsIn(Incoming):
    """Where an alias leads from now on."""

    targets: Targets


class AliasOut(Outgoing):
    """An alias. A mailbox of the same address comes first."""

    address: str
    targets: list[str]
    created_at: datetime


class AliasQuery(OfDomain):
    """Which aliases: those that match all that is given."""

    target: SearchedAddress | None = Field(
        None, description="That name this address as a target; `@domain`: an address of that domain."
    )


@router.get("")
async def list_aliases(parts: PartsNeeded, query: Annotated[AliasQuery, Query()]) -> Page[AliasOut]:
    """List the aliases by domain and name."""
    conditions = [] if query.target is None else [lists_address(Alias.targets, query.target)]
    items, following = await list_held(parts, Alias, query, *conditions)
    return Page(items=[_shown(row, name) for row, name in items], next_cursor=following)


@router.post("", status_code=201)
async def add_alias(body: AliasIn, parts: PartsNeeded, actor: ActorNeeded, response: Response) -> AliasOut:
    """Add an alias to a domain of ours."""
    local_part, domain = names.halves(body.address)
    targets = list(dict.fromkeys(body.targets))
    async with parts.changing(actor) as change:
        owner = await domain_of_ours(change.session, domain)
        if owner is None:
            raise invalid("body.address", f"{domain} is not one of your domains; add it first")
        if await find_held(change.session, Alias, domain, local_part) is not None:
            raise Problem("conflict", f"The alias {body.address} exists already.")
        if await find_held(change.session, Mailbox, domain, local_part) is not None:
            raise invalid("body.address", f"there is a mailbox {body.address}, which gets its mail; remove it first")
        await _require_good_ways(change.session, body.address, targets)
        row = Alias(domain_id=owner.id, local_part=local_part, targets=targets, created_at=change.now)
        change.session.add(row)
        await change.touch_directory()
        change.note("alias.create", body.address, after={"targets": targets})
    response.headers["Location"] = f"/api/v1/aliases/{quote(body.address)}"
    return _shown(row, domain)


@router.get("/{address:path}")
async def show_alias(address: str, parts: PartsNeeded) -> AliasOut:
    """Show an alias."""
    async with parts.database.reading() as session:
        row = await _found(session, address)
    return _shown(row, names.halves(address)[1])


@router.put("/{address:path}")
async def replace_targets(address: str, body: TargetsIn, parts: PartsNeeded, actor: ActorNeeded) -> AliasOut:
    """Replace the targets of an alias."""
    async with parts.changing(actor) as change:
        row = await _found(change.session, address)
        before = {"targets": row.targets}
        targets = list(dict.fromkeys(body.targets))
        await _require_good_ways(change.session, _key(address), targets)
        row.targets = targets
        await change.touch_directory()
        change.note("alias.update", _key(address), before, {"targets": row.targets})
    return _shown(row, names.halves(address)[1])


@router.delete("/{address:path}", status_code=204)
async def remove_alias(address: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Remove an alias."""
    async with parts.changing(actor) as change:
        row = await _found(change.session, address)
        await change.session.delete(row)
        await change.touch_directory()
        change.note("alias.delete", _key(address), before={"targets": row.targets})


async def _require_good_ways(session: AsyncSession, alias: str, targets: list[str]) -> None:
    objection = await AliasWays(session, alias).objection(targets)
    if objection:
        raise invalid("body.targets", objection)


def _key(address: str) -> str:
    try:
        return names.alias(address)
    except ValueError as error:
        raise Problem("not-found", str(error)) from None


async def _found(session: AsyncSession, address: str) -> Alias:
    local_part, domain = names.halves(_key(address))
    row = await find_held(session, Alias, domain, local_part)
    if row is None:
        raise Problem("not-found", f"There is no alias {_key(address)}.")
    return row


def _shown(row: Alias, domain: str) -> AliasOut:
    return AliasOut(address=names.joined(row.local_part, domain), targets=row.targets, created_at=row.created_at)
