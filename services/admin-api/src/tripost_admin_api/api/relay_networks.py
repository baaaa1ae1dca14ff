"""Networks whose clients may relay without authentication."""

from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Response

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.models import Incoming, Outgoing, Page, RelayNetwork
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem
from tripost_admin_api.configuration import documents
from tripost_shared.contracts.config import EDGE_KEY

router = APIRouter(prefix="/relay-networks", tags=["relay networks"])

MOST = 1000


class NetworkIn(Incoming):
    """A network to add."""

    network: RelayNetwork


class NetworkOut(Outgoing):
    """A network in CIDR form."""

    network: str


@router.get("")
async def list_networks(parts: PartsNeeded, query: paging.Listing) -> Page[NetworkOut]:
    """List the networks."""
    after = paging.decode(query.cursor, tuple[str])
    async with parts.database.reading() as session:
        known = sorted((await documents.read_edge(session)).relay_networks)
    rows = [network for network in known if after is None or network > after[0]][: query.limit + 1]
    items, following = paging.part(rows, query.limit, lambda network: [network])
    return Page(items=[NetworkOut(network=network) for network in items], next_cursor=following)


@router.post("", status_code=201)
async def add_network(body: NetworkIn, parts: PartsNeeded, actor: ActorNeeded, response: Response) -> NetworkOut:
    """Let the clients in a network relay without authentication."""
    async with parts.changing(actor) as change:
        present = await documents.read_edge(change.session)
        if body.network in present.relay_networks:
            raise Problem("conflict", f"{body.network} may relay already.")
        if len(present.relay_networks) >= MOST:
            raise Problem("conflict", f"There are {MOST} relay networks already, which is the most.")
        networks = (*present.relay_networks, body.network)
        await change.write_document(EDGE_KEY, msgspec.structs.replace(present, relay_networks=networks))
        change.note("relay-network.create", body.network)
    response.headers["Location"] = f"/api/v1/relay-networks/{quote(body.network)}"
    return NetworkOut(network=body.network)


@router.get("/{network:path}")
async def show_network(network: str, parts: PartsNeeded) -> NetworkOut:
    """Show a network."""
    async with parts.database.reading() as session:
        present = await documents.read_edge(session)
    return NetworkOut(network=_found(network, present.relay_networks))


@router.delete("/{network:path}", status_code=204)
async def remove_network(network: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Let the clients in a network relay no more without authentication."""
    async with parts.changing(actor) as change:
        present = await documents.read_edge(change.session)
        wanted = _found(network, present.relay_networks)
        networks = tuple(known for known in present.relay_networks if known != wanted)
        await change.write_document(EDGE_KEY, msgspec.structs.replace(present, relay_networks=networks))
        change.note("relay-network.delete", wanted)


def _found(network: str, known: tuple[str, ...]) -> str:
    if network in known:  # also one that is accepted no more
        return network
    try:
        wanted = names.network(network)
    except ValueError as error:
        raise Problem("not-found", str(error)) from None
    if wanted not in known:
        raise Problem("not-found", f"{wanted} is no relay network.")
    return wanted
