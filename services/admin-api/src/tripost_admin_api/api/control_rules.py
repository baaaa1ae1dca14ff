"""Control rules: what becomes of mail by who sends what to whom, in the order in which they are gone through."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field

from tripost_admin_api.api import paging
from tripost_admin_api.api.control_bodies import RuleBody, RuleIn, RulesIn
from tripost_admin_api.api.merge_patch import OBJECT, Patch, patched
from tripost_admin_api.api.models import Page
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.places import MoveIn
from tripost_admin_api.api.preconditions import IfMatch, require_match
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.changes import Change
from tripost_shared.contracts.control import CONTROL_KEY, ControlConfig, ControlRule

router = APIRouter(prefix="/control/rules", tags=["control rules"])

MOST: Final = 500
CHANGED: Final = "The rules were changed meanwhile; read them again."


class RuleOut(RuleBody):
    """A rule in its place; `position` 1 is the first."""

    position: int = Field(ge=1)


@router.get("")
async def list_rules(parts: PartsNeeded, query: paging.Listing, response: Response) -> Page[RuleOut]:
    """List the rules in their order. The `ETag` makes a change safe against another one meanwhile."""
    after = paging.decode(query.cursor, tuple[int])
    begin = 0 if after is None else max(0, after[0])
    async with parts.database.reading() as session:
        config = await documents.read_control(session)
    response.headers["ETag"] = _etag(config)
    shown = [_shown(config, place) for place in range(len(config.rules))]
    items, following = paging.part(shown[begin : begin + query.limit + 1], query.limit, lambda rule: [rule.position])
    return Page(items=list(items), next_cursor=following)


@router.post("", status_code=201)
async def add_rule(
    body: RuleIn, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> RuleOut:
    """Add a rule."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        if any(rule.name == body.name for rule in config.rules):
            raise Problem("conflict", f"There is a rule {body.name} already.")
        if len(config.rules) >= MOST:
            raise Problem("conflict", f"There are {MOST} rules already, which is the most.")
        place = body.among([rule.name for rule in config.rules], "rule")
        rules = [*config.rules[:place], _rule(body), *config.rules[place:]]
        config = await _write(change, config, rules, response)
        change.note("control-rule.create", body.name, None, _noted(config.rules[place]))
    response.headers["Location"] = f"/api/v1/control/rules/{quote(body.name)}"
    return _shown(config, place)


@router.put("")
async def replace_rules(
    body: RulesIn, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> Page[RuleOut]:
    """Replace all rules by these, in this order."""
    given = [rule.name for rule in body.rules]
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise invalid("body.rules", f"the name {twice[0]} is given twice")
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        before = [_noted(rule) for rule in config.rules]
        config = await _write(change, config, [_rule(rule) for rule in body.rules], response)
        change.note("control-rules.replace", "rules", {"rules": before}, {"rules": [_noted(r) for r in config.rules]})
    return Page(items=[_shown(config, place) for place in range(len(config.rules))], next_cursor=None)


@router.get("/{name}")
async def show_rule(name: str, parts: PartsNeeded, response: Response) -> RuleOut:
    """Show a rule. The `ETag` is that of all rules."""
    async with parts.database.reading() as session:
        config = await documents.read_control(session)
    response.headers["ETag"] = _etag(config)
    return _shown(config, _place(config, name))


@router.patch("/{name}", openapi_extra=OBJECT)
async def change_rule(
    name: str, patch: Patch, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> RuleOut:
    """Change parts of a rule: a merge patch (RFC 7396), in which null restores a default. Its name stays."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        place = _place(config, name)
        present = config.rules[place]
        body = patched(RuleBody, _noted(present), patch)
        if body.name != name:
            raise invalid("body.name", "a rule keeps its name; add another one and remove this")
        rules = [*config.rules[:place], _rule(body), *config.rules[place + 1 :]]
        config = await _write(change, config, rules, response)
        change.note("control-rule.update", name, _noted(present), _noted(config.rules[place]))
    return _shown(config, place)


@router.post("/{name}/move")
async def move_rule(
    name: str, body: MoveIn, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> RuleOut:
    """Put a rule in another place."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        was = _place(config, name)
        others = [*config.rules[:was], *config.rules[was + 1 :]]
        place = body.among([rule.name for rule in others], "rule")
        rules = [*others[:place], config.rules[was], *others[place:]]
        config = await _write(change, config, rules, response)
        change.note("control-rule.move", name, {"position": was + 1}, {"position": place + 1})
    return _shown(config, place)


@router.delete("/{name}", status_code=204)
async def remove_rule(name: str, parts: PartsNeeded, actor: ActorNeeded, if_match: IfMatch = None) -> None:
    """Remove a rule."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        place = _place(config, name)
        rules = (*config.rules[:place], *config.rules[place + 1 :])
        await change.write_document(CONTROL_KEY, msgspec.structs.replace(config, rules=rules))
        change.note("control-rule.delete", name, _noted(config.rules[place]))


async def _to_change(change: Change, if_match: Sequence[str] | None) -> ControlConfig:
    config = await documents.read_control(change.session)
    require_match(if_match, _etag(config), CHANGED)
    return config


async def _write(
    change: Change, config: ControlConfig, rules: Sequence[ControlRule], response: Response
) -> ControlConfig:
    """Put rules in force, whose rates must be there; gives the configuration as it is then."""
    rates = {rate.name for rate in config.rates}
    for rule in rules:
        if rule.rate and rule.rate not in rates:
            raise invalid("body.rate", f"there is no rate {rule.rate}; there are: {', '.join(sorted(rates)) or 'none'}")
    config = msgspec.structs.replace(config, rules=tuple(rules))
    await change.write_document(CONTROL_KEY, config)
    response.headers["ETag"] = f'"{change.revision}"'
    return config


def _place(config: ControlConfig, name: str) -> int:
    for place, rule in enumerate(config.rules):
        if rule.name == name:
            return place
    raise Problem("not-found", f"There is no rule {name}.")


def _rule(body: RuleBody) -> ControlRule:
    return msgspec.convert(body.model_dump(mode="json", include=set(RuleBody.model_fields)), ControlRule)


def _shown(config: ControlConfig, place: int) -> RuleOut:
    """Show a rule as it is kept, also one that would be accepted no more."""
    rule = config.rules[place]
    members = {name: getattr(rule, name) for name in RuleBody.model_fields}
    lists = {name: list(value) for name, value in members.items() if isinstance(value, tuple)}
    return RuleOut.model_construct(**{**members, **lists, "position": place + 1})


def _noted(rule: ControlRule) -> dict[str, Any]:
    noted: dict[str, Any] = msgspec.to_builtins(rule)
    return noted


def _etag(config: ControlConfig) -> str:
    return f'"{config.revision}"'
