"""Bans: networks whose clients edge turns away for a while, by an operator's or by its own decision."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import Field, field_validator

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.known_listeners import trusted_proxies
from tripost_admin_api.api.models import BannedNetwork, Incoming, Outgoing, Page
from tripost_admin_api.api.parts import ActorNeeded, Parts, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.configuration import documents
from tripost_admin_api.ports import ClusterUnavailable
from tripost_shared.contracts.bans import Ban, banned_network
from tripost_shared.networks import Network, parse_network

router = APIRouter(prefix="/bans", tags=["bans"])

LONGEST_SECONDS: Final = 31_536_000
LIFTED_FOR: Final = timedelta(hours=1)  # how long edge is told that a ban was lifted, and counts anew
LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_REASON: Final = re.compile(r"[ -~]+")


class BanIn(Incoming):
    """A network to ban."""

    network: BannedNetwork
    reason: str = Field(
        "abuse",
        min_length=1,
        max_length=200,
        description="Told to the client: `… because of REASON`.",
    )
    duration_seconds: int = Field(3600, ge=1, le=LONGEST_SECONDS)

    @field_validator("reason")
    @classmethod
    def _can_be_said(cls, reason: str) -> str:
        if not _REASON.fullmatch(reason) or not reason.strip():
            raise ValueError("accepted is a text of printable ASCII characters, since SMTP replies have no others")
        return reason.strip()


class BanOut(Outgoing):
    """A ban in force. `by`: an operator, or `edge NODE`; `offences`: how many automatic ones in a row this makes."""

    network: str
    reason: str
    since: datetime
    until: datetime
    by: str
    offences: int


@router.get("")
async def list_bans(parts: PartsNeeded, query: paging.Listing) -> Page[BanOut]:
    """List the bans in force, by network."""
    after = paging.decode(query.cursor, tuple[str])
    try:
        kept = await parts.cluster.bans()
    except ClusterUnavailable as error:
        raise _unavailable(error) from None
    known = sorted((ban for ban in kept if ban.holds_at(parts.clock.now())), key=lambda ban: ban.network)
    rows = [ban for ban in known if after is None or ban.network > after[0]][: query.limit + 1]
    items, following = paging.part(rows, query.limit, lambda ban: [ban.network])
    return Page(items=[BanOut.model_validate(ban) for ban in items], next_cursor=following)


@router.post("", status_code=201)
async def add_ban(body: BanIn, parts: PartsNeeded, actor: ActorNeeded, request: Request, response: Response) -> BanOut:
    """Ban a network on all edges at once, in sessions that are open too. A ban of it that is in force is replaced."""
    network = banned_network(body.network)
    own = request.client.host if request.client else ""
    async with parts.changing(actor) as change:
        edge = await documents.read_edge(change.session)
        proxies = (*edge.xclient_networks, *await trusted_proxies(change.session))
        _refuse_ours(network, edge.relay_networks, proxies, own)
        until = change.now + timedelta(seconds=body.duration_seconds)
        ban = Ban(body.network, body.reason, change.now, until, actor.name)
        await _put(parts, ban, until)
        shown = BanOut.model_validate(ban)
        change.note("ban.create", body.network, after=shown.model_dump(mode="json"))
    response.headers["Location"] = f"/api/v1/bans/{quote(body.network)}"
    return shown


@router.get("/{network:path}")
async def show_ban(network: str, parts: PartsNeeded) -> BanOut:
    """Show the ban of exactly this network."""
    return BanOut.model_validate(await _found(parts, network))


@router.delete("/{network:path}", status_code=204)
async def lift_ban(network: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Lift a ban on all edges at once; what its clients did before counts no more."""
    async with parts.changing(actor) as change:
        ban = await _found(parts, network)
        await _put(parts, ban.lifted_at(change.now), change.now + LIFTED_FOR)
        change.note("ban.delete", ban.network, before=BanOut.model_validate(ban).model_dump(mode="json"))


async def _found(parts: Parts, network: str) -> Ban:
    try:
        wanted = names.banned(network)
    except ValueError:
        raise _no_ban(network) from None
    try:
        ban = await parts.cluster.ban(wanted)
    except ClusterUnavailable as error:
        raise _unavailable(error) from None
    if ban is None or not ban.holds_at(parts.clock.now()):
        raise _no_ban(wanted)
    return ban


async def _put(parts: Parts, ban: Ban, keep_until: datetime) -> None:
    try:
        await parts.cluster.put_ban(ban, keep_until)
    except ClusterUnavailable as error:
        raise _unavailable(error) from None


def _refuse_ours(network: Network, relay_networks: Sequence[str], proxies: Sequence[str], own_address: str) -> None:
    """Raise Problem for a ban that edge would not heed, or that would hit who asks for it."""
    for ours in LOOPBACK:
        if network.overlaps(ours):
            raise invalid("body.network", f"{network} holds loopback addresses ({ours}), which are never banned")
    for relay in relay_networks:
        if _overlaps(network, relay):
            raise invalid("body.network", f"{network} overlaps the relay network {relay}: its clients are never banned")
    for proxy in proxies:
        if _overlaps(network, proxy):
            raise invalid("body.network", f"{network} overlaps {proxy}, where trusted proxies are, never banned")
    try:
        is_own = ip_address(own_address) in network
    except ValueError:  # a socket without addresses
        is_own = False
    if is_own:
        raise invalid("body.network", f"{network} holds {own_address}, the address that this request comes from")


def _overlaps(network: Network, other: str) -> bool:
    try:
        return network.overlaps(parse_network(other))
    except ValueError:  # of a former release, and not heeded
        return False


def _no_ban(network: str) -> Problem:
    return Problem("not-found", f"{network} is not banned.")


def _unavailable(error: Exception) -> Problem:
    return Problem("unavailable", f"Bans cannot be read or written now: {error}.")
