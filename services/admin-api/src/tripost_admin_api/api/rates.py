"""Rates: how many messages, and how many recipients, may pass in a minute, an hour and a day."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Response

from tripost_admin_api.api import paging
from tripost_admin_api.api.merge_patch import OBJECT, Patch, patched
from tripost_admin_api.api.models import Page
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.preconditions import IfMatch, require_match
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.api.rate_bodies import RateBody
from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.changes import Change
from tripost_shared.contracts.control import CONTROL_KEY, ControlConfig, Rate

router = APIRouter(prefix="/rates", tags=["rates"])

MOST: Final = 100  # each that applies to all costs every message a count


@router.get("")
async def list_rates(parts: PartsNeeded, query: paging.Listing, response: Response) -> Page[RateBody]:
    """List the rates by name. The `ETag` makes a change safe against another one meanwhile."""
    after = paging.decode(query.cursor, tuple[str])
    async with parts.database.reading() as session:
        config = await documents.read_control(session)
    response.headers["ETag"] = _etag(config)
    known = sorted(config.rates, key=lambda rate: rate.name)
    rows = [rate for rate in known if after is None or rate.name > after[0]][: query.limit + 1]
    items, following = paging.part(rows, query.limit, lambda rate: [rate.name])
    return Page(items=[_shown(rate) for rate in items], next_cursor=following)


@router.post("", status_code=201)
async def add_rate(
    body: RateBody, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> RateBody:
    """Add a rate, which holds at once, in sessions that are open too."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        if any(rate.name == body.name for rate in config.rates):
            raise Problem("conflict", f"There is a rate {body.name} already.")
        if len(config.rates) >= MOST:
            raise Problem("conflict", f"There are {MOST} rates already, which is the most.")
        rate = _rate(body)
        await _write(change, config, [*config.rates, rate], response)
        change.note("rate.create", body.name, None, _noted(rate))
    response.headers["Location"] = f"/api/v1/rates/{quote(body.name)}"
    return body


@router.get("/{name}")
async def show_rate(name: str, parts: PartsNeeded, response: Response) -> RateBody:
    """Show a rate. The `ETag` is that of all rates and rules."""
    async with parts.database.reading() as session:
        config = await documents.read_control(session)
    response.headers["ETag"] = _etag(config)
    return _shown(_found(config, name))


@router.patch("/{name}", openapi_extra=OBJECT)
async def change_rate(
    name: str, patch: Patch, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> RateBody:
    """Change parts of a rate: a merge patch (RFC 7396), in which null restores a default. What is counted stays."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        present = _found(config, name)
        body = patched(RateBody, _shown(present).model_dump(mode="json"), patch)
        if body.name != name:
            raise invalid("body.name", "a rate keeps its name; add another one and remove this")
        rate = _rate(body)
        await _write(change, config, [rate if known.name == name else known for known in config.rates], response)
        change.note("rate.update", name, _noted(present), _noted(rate))
    return body


@router.delete("/{name}", status_code=204)
async def remove_rate(
    name: str, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> None:
    """Remove a rate; refused while a control rule names it."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        present = _found(config, name)
        naming = [rule.name for rule in config.rules if rule.rate == name]
        if naming:
            raise Problem("conflict", f"The control rule {naming[0]} names the rate {name}; remove or change it first.")
        await _write(change, config, [known for known in config.rates if known.name != name], response)
        change.note("rate.delete", name, _noted(present))


async def _to_change(change: Change, if_match: Sequence[str] | None) -> ControlConfig:
    config = await documents.read_control(change.session)
    require_match(if_match, _etag(config), "The rates or rules were changed meanwhile; read them again.")
    return config


async def _write(change: Change, config: ControlConfig, rates: Sequence[Rate], response: Response) -> None:
    await change.write_document(CONTROL_KEY, msgspec.structs.replace(config, rates=tuple(rates)))
    response.headers["ETag"] = f'"{change.revision}"'


def _found(config: ControlConfig, name: str) -> Rate:
    for rate in config.rates:
        if rate.name == name:
            return rate
    raise Problem("not-found", f"There is no rate {name}.")


def _rate(body: RateBody) -> Rate:
    return msgspec.convert(body.model_dump(mode="json"), Rate)


def _shown(rate: Rate) -> RateBody:
    members = msgspec.to_builtins(rate)
    return RateBody.model_validate(members)


def _noted(rate: Rate) -> dict[str, Any]:
    noted: dict[str, Any] = msgspec.to_builtins(rate)
    return noted


def _etag(config: ControlConfig) -> str:
    return f'"{config.revision}"'
