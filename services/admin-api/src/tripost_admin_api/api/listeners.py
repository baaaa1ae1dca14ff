"""Listeners of edge: built-in ones with what overrides them, and others; changed while sessions go on."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field

from tripost_admin_api.api import paging
from tripost_admin_api.api.listener_bodies import ListenerBody, ListenerIn, configured, errors_of, others_than
from tripost_admin_api.api.merge_patch import OBJECT, Patch, patched
from tripost_admin_api.api.models import Outgoing, Page
from tripost_admin_api.api.parts import ActorNeeded, Parts, PartsNeeded
from tripost_admin_api.api.preconditions import IfMatch, require_match
from tripost_admin_api.api.problems import Problem, all_invalid
from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.changes import Change
from tripost_admin_api.ports import ClusterUnavailable
from tripost_shared.contracts.listeners import BUILT_IN, LISTENERS_KEY, ListenerConfig, ListenersConfig
from tripost_shared.contracts.nodes import NodeStatus

router = APIRouter(prefix="/listeners", tags=["listeners"])

MOST: Final = 200
ANSWER_WITHIN: Final = timedelta(seconds=0.3)  # an edge answers in a few milliseconds


class OpenAt(Outgoing):
    """A listener in one process of edge."""

    node: str
    instance: str
    address: str
    trouble: str = Field(description="Why it is not open, or takes no clients; empty when all is well.")


class ListenerOut(Outgoing):
    """A listener. `address` and `proxies` that are empty are those of the built-in one's settings."""

    name: str
    built_in: bool
    overrides: list[str] = Field(description="What is configured otherwise than built in; of others, all fields given.")
    enabled: bool
    address: str
    kind: str
    tls: str
    tls_minimum: str
    ciphers: list[str]
    proxies: list[str]
    mechanisms: list[str]
    check_author: bool
    limits: dict[str, int | float]
    nodes: list[str]
    comment: str
    open_at: list[OpenAt] | None = Field(
        description="The edges that have to have it open, and whether they have; null in answers to a change, which "
        "takes a moment to reach them."
    )


@router.get("")
async def list_listeners(parts: PartsNeeded, query: paging.Listing, response: Response) -> Page[ListenerOut]:
    """List all by name, built-in ones among them, with the edges that have them open."""
    after = paging.decode(query.cursor, tuple[str])
    async with parts.database.reading() as session:
        config = await documents.read_listeners(session)
    nodes = await _nodes(parts)
    known = {**BUILT_IN, **{listener.name: listener for listener in config.listeners}}
    following = [known[name] for name in sorted(known) if after is None or name > after[0]]
    items, cursor = paging.part(following[: query.limit + 1], query.limit, lambda listener: [listener.name])
    response.headers["ETag"] = _etag(config)
    return Page(items=[_shown(listener, nodes) for listener in items], next_cursor=cursor)


@router.post("", status_code=201)
async def add_listener(
    body: ListenerIn, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> ListenerOut:
    """Add a listener, or configure a built-in one. What is left out of that is as it is built in."""
    wanted = configured(body.name, body)
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        if _find(config, body.name) is not None:
            raise Problem("conflict", f"The listener {body.name} is configured already.")
        if len(config.listeners) >= MOST:
            raise Problem("conflict", f"There are {MOST} listeners already, which is the most.")
        await _write(change, config, wanted)
        change.note("listener.create", body.name, after=_audited(wanted))
    response.headers["Location"] = f"/api/v1/listeners/{quote(body.name)}"
    return _answer(change, wanted, response)


@router.get("/{name}")
async def show_listener(name: str, parts: PartsNeeded, response: Response) -> ListenerOut:
    """Show a listener. Its `ETag` is that of all listeners."""
    async with parts.database.reading() as session:
        config = await documents.read_listeners(session)
    response.headers["ETag"] = _etag(config)
    return _shown(_found(config, name), await _nodes(parts))


@router.put("/{name}")
async def replace_listener(
    name: str, body: ListenerBody, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> ListenerOut:
    """Replace all about a listener; what is left out has its default, of a built-in one what is built in."""
    wanted = configured(name, body)
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        await _replace(change, config, _found(config, name), wanted)
    return _answer(change, wanted, response)


@router.patch("/{name}", openapi_extra=OBJECT)
async def change_listener(
    name: str, patch: Patch, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> ListenerOut:
    """Change parts of a listener: a merge patch (RFC 7396), in which null restores a default."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        present = _found(config, name)
        body = patched(ListenerBody, _audited(present), patch)
        wanted = configured(name, body)
        await _replace(change, config, present, wanted)
    return _answer(change, wanted, response)


@router.delete("/{name}", status_code=204)
async def remove_listener(name: str, parts: PartsNeeded, actor: ActorNeeded, if_match: IfMatch = None) -> None:
    """Close a listener, whose sessions go on to their end; a built-in one is again as it is built in."""
    async with parts.changing(actor) as change:
        config = await _to_change(change, if_match)
        present = _find(config, name)
        if present is None:
            known = "is not configured: it is as it is built in." if name in BUILT_IN else "does not exist."
            raise Problem("not-found", f"The listener {name[:100]} {known}")
        await change.write_document(LISTENERS_KEY, ListenersConfig(listeners=others_than(name, config)))
        change.note("listener.delete", name, before=_audited(present))


async def _to_change(change: Change, if_match: Sequence[str] | None) -> ListenersConfig:
    config = await documents.read_listeners(change.session)
    require_match(if_match, _etag(config), "The listeners were changed meanwhile; read them again.")
    return config


async def _replace(change: Change, config: ListenersConfig, present: ListenerConfig, wanted: ListenerConfig) -> None:
    await _write(change, config, wanted)
    before, after = _audited(present), _audited(wanted)
    changed = sorted(name for name in after if before[name] != after[name])
    change.note(
        "listener.update",
        wanted.name,
        {name: before[name] for name in changed},
        {name: after[name] for name in changed},
    )


async def _write(change: Change, config: ListenersConfig, wanted: ListenerConfig) -> None:
    others = others_than(wanted.name, config)
    wrong = list(errors_of(wanted, others))
    if wrong:
        raise all_invalid(wrong)
    listeners = tuple(sorted((*others, wanted), key=lambda listener: listener.name))
    await change.write_document(LISTENERS_KEY, ListenersConfig(listeners=listeners))


def _answer(change: Change, listener: ListenerConfig, response: Response) -> ListenerOut:
    response.headers["ETag"] = f'"{change.revision}"'
    return _shown(listener, None)


async def _nodes(parts: Parts) -> list[NodeStatus]:
    """Ask the edges; none while they cannot be asked."""
    try:
        return sorted(await parts.cluster.nodes(ANSWER_WITHIN), key=lambda node: (node.node, node.instance))
    except ClusterUnavailable:
        return []


def _find(config: ListenersConfig, name: str) -> ListenerConfig | None:
    return next((listener for listener in config.listeners if listener.name == name), None)


def _found(config: ListenersConfig, name: str) -> ListenerConfig:
    found = _find(config, name) or BUILT_IN.get(name)
    if found is None:
        raise Problem("not-found", f"There is no listener {name[:100]}.")
    return found


def _shown(listener: ListenerConfig, nodes: Sequence[NodeStatus] | None) -> ListenerOut:
    body = _audited(listener)
    built_in = _audited(BUILT_IN.get(listener.name, ListenerConfig(listener.name)))
    return ListenerOut(
        name=listener.name,
        built_in=listener.name in BUILT_IN,
        overrides=[name for name, value in body.items() if value != built_in[name]],
        open_at=None if nodes is None else _open_at(listener.name, nodes),
        **body,
    )


def _open_at(name: str, nodes: Sequence[NodeStatus]) -> list[OpenAt]:
    return [
        OpenAt(node=node.node, instance=node.instance, address=state.address, trouble=state.trouble)
        for node in nodes
        for state in node.listeners
        if state.name == name
    ]


def _audited(listener: ListenerConfig) -> dict[str, Any]:
    """Give all about it but its name."""
    body: dict[str, Any] = msgspec.to_builtins(listener)
    del body["name"]
    return body


def _etag(config: ListenersConfig) -> str:
    return f'"{config.revision}"'
