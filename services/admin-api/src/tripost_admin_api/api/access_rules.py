"""Access rules: which clients edge lets in, in the order in which they are gone through."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response

from tripost_admin_api.api import paging
from tripost_admin_api.api.access_bodies import (
    MOST_RULES,
    AccessRuleBody,
    AccessRuleIn,
    AccessRuleOut,
    AccessRulesIn,
    body_of,
)
from tripost_admin_api.api.known_listeners import known_listeners
from tripost_admin_api.api.merge_patch import OBJECT, Patch, patched
from tripost_admin_api.api.models import Page
from tripost_admin_api.api.parts import ActorNeeded, Parts, PartsNeeded
from tripost_admin_api.api.places import MoveIn
from tripost_admin_api.api.preconditions import IfMatch, require_match
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.changes import Change
from tripost_admin_api.ports import ClusterUnavailable
from tripost_shared.access.warnings import KnownListener, warnings
from tripost_shared.contracts.access import ACCESS_KEY, HITS, AccessConfig, AccessRule, hits_key
from tripost_shared.counters.totals import Total

router = APIRouter(prefix="/access/rules", tags=["access rules"])

CHANGED = "The access rules were changed meanwhile; read them again."


@router.get("")
async def list_access_rules(parts: PartsNeeded, query: paging.Listing, response: Response) -> Page[AccessRuleOut]:
    """List the rules in their order. The `ETag` makes a change safe against another one meanwhile."""
    after = paging.decode(query.cursor, tuple[int])
    begin = 0 if after is None else max(0, after[0])
    async with parts.database.reading() as session:
        config = await documents.read_access(session)
        listeners = await known_listeners(session)
    response.headers["ETag"] = _etag(config.revision)
    shown = await _shown(parts, config.rules, listeners)
    items, following = paging.part(shown[begin : begin + query.limit + 1], query.limit, lambda rule: [rule.position])
    return Page(items=list(items), next_cursor=following)


@router.post("", status_code=201)
async def add_access_rule(
    body: AccessRuleIn, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> AccessRuleOut:
    """Add a rule: at a position, before or after another one, or as the last."""
    async with parts.changing(actor) as change:
        rules = await _to_change(change, if_match)
        if any(rule.name == body.name for rule in rules):
            raise Problem("conflict", f"There is an access rule {body.name} already.")
        if len(rules) >= MOST_RULES:
            raise Problem("conflict", f"There are {MOST_RULES} access rules already, which is the most.")
        place = body.among([rule.name for rule in rules], "access rule")
        added = body.rule(change.revision)
        rules.insert(place, added)
        listeners = await _write(change, rules, response)
        change.note("access-rule.create", body.name, after=body_of(added) | {"position": place + 1})
    response.headers["Location"] = f"/api/v1/access/rules/{quote(body.name)}"
    return (await _shown(parts, rules, listeners))[place]


@router.put("")
async def replace_access_rules(
    body: AccessRulesIn, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> Page[AccessRuleOut]:
    """Replace all rules by these, in this order. One that stays, by its name, keeps its hits."""
    async with parts.changing(actor) as change:
        before = await _to_change(change, if_match)
        made_at = {rule.name: rule.made_at for rule in before}
        rules = [given.rule(made_at.get(given.name, change.revision)) for given in body.rules]
        listeners = await _write(change, rules, response)
        was, is_now = ({"rules": [body_of(rule) for rule in listed]} for listed in (before, rules))
        change.note("access-rules.replace", "all", was, is_now)
    return Page(items=await _shown(parts, rules, listeners), next_cursor=None)


@router.get("/{name}")
async def show_access_rule(name: str, parts: PartsNeeded, response: Response) -> AccessRuleOut:
    """Show a rule. The `ETag` is that of all rules."""
    async with parts.database.reading() as session:
        config = await documents.read_access(session)
        listeners = await known_listeners(session)
    response.headers["ETag"] = _etag(config.revision)
    place = _found(config.rules, name)
    return (await _shown(parts, config.rules, listeners))[place]


@router.patch("/{name}", openapi_extra=OBJECT)
async def change_access_rule(
    name: str, patch: Patch, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> AccessRuleOut:
    """Change parts of a rule: a merge patch (RFC 7396), in which null restores a default. Its name stays."""
    async with parts.changing(actor) as change:
        rules = await _to_change(change, if_match)
        place = _found(rules, name)
        present = rules[place]
        body = patched(AccessRuleBody, body_of(present), patch)
        if body.name != name:
            raise invalid("body.name", "a rule keeps its name; add another one, and remove this")
        rules[place] = body.rule(present.made_at)
        listeners = await _write(change, rules, response)
        was, is_now = body_of(present), body_of(rules[place])
        changed = [member for member in is_now if was[member] != is_now[member]]
        change.note(
            "access-rule.update", name, {one: was[one] for one in changed}, {one: is_now[one] for one in changed}
        )
    return (await _shown(parts, rules, listeners))[place]


@router.post("/{name}/move")
async def move_access_rule(
    name: str, body: MoveIn, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> AccessRuleOut:
    """Put a rule in another place among all rules."""
    async with parts.changing(actor) as change:
        rules = await _to_change(change, if_match)
        was = _found(rules, name)
        moved = rules.pop(was)
        place = body.among([rule.name for rule in rules], "access rule")
        rules.insert(place, moved)
        listeners = await _write(change, rules, response)
        change.note("access-rule.move", name, {"position": was + 1}, {"position": place + 1})
    return (await _shown(parts, rules, listeners))[place]


@router.delete("/{name}", status_code=204)
async def remove_access_rule(
    name: str, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> None:
    """Remove a rule."""
    async with parts.changing(actor) as change:
        rules = await _to_change(change, if_match)
        removed = rules.pop(_found(rules, name))
        await _write(change, rules, response)
        change.note("access-rule.delete", name, before=body_of(removed))


async def _to_change(change: Change, if_match: Sequence[str] | None) -> list[AccessRule]:
    config = await documents.read_access(change.session)
    require_match(if_match, _etag(config.revision), CHANGED)
    return list(config.rules)


async def _write(change: Change, rules: Sequence[AccessRule], response: Response) -> tuple[KnownListener, ...]:
    """Put rules in force; gives the listeners that they may be about."""
    await change.write_document(ACCESS_KEY, AccessConfig(rules=tuple(rules)))
    response.headers["ETag"] = _etag(change.revision)
    return await known_listeners(change.session)


def _found(rules: Sequence[AccessRule], name: str) -> int:
    for place, rule in enumerate(rules):
        if rule.name == name:
            return place
    raise Problem("not-found", f"There is no access rule {name}.")


async def _shown(parts: Parts, rules: Sequence[AccessRule], listeners: Sequence[KnownListener]) -> list[AccessRuleOut]:
    warned = warnings(rules, listeners)
    totals = await _hits(parts)
    return [
        AccessRuleOut(
            position=place,
            warnings=warned.get(rule.name, []),
            **_hits_of(rule, totals),
            **body_of(rule),
        )
        for place, rule in enumerate(rules, start=1)
    ]


async def _hits(parts: Parts) -> Mapping[str, Total] | None:
    try:
        return await parts.cluster.totals(HITS)
    except ClusterUnavailable:
        return None


def _hits_of(rule: AccessRule, totals: Mapping[str, Total] | None) -> dict[str, Any]:
    if totals is None:
        return {"hits": None, "last_hit_at": None}
    total = totals.get(hits_key(rule.name, rule.made_at))
    return {"hits": 0, "last_hit_at": None} if total is None else {"hits": total.total, "last_hit_at": total.changed_at}


def _etag(revision: int) -> str:
    return f'"{revision}"'
