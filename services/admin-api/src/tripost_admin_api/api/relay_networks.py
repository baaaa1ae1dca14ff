"""Networks whose clients may relay without authentication."""

from fastapi import APIRouter, Response

from tripost_admin_api.api import paging
from tripost_admin_api.api.edge_networks import NetworkList, NetworkOut
from tripost_admin_api.api.models import Incoming, Page, RelayNetwork
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded

router = APIRouter(prefix="/relay-networks", tags=["relay networks"])

NETWORKS = NetworkList("relay_networks", "relay-network", "may relay")


class NetworkIn(Incoming):
    """A network to add."""

    network: RelayNetwork


@router.get("")
async def list_networks(parts: PartsNeeded, query: paging.Listing) -> Page[NetworkOut]:
    """List the networks."""
    return await NETWORKS.page(parts, query)


@router.post("", status_code=201)
async def add_network(body: NetworkIn, parts: PartsNeeded, actor: ActorNeeded, response: Response) -> NetworkOut:
    """Let the clients in a network relay without authentication."""
    return await NETWORKS.add(body.network, parts, actor, response)


@router.get("/{network:path}")
async def show_network(network: str, parts: PartsNeeded) -> NetworkOut:
    """Show a network."""
    return await NETWORKS.show(network, parts)


@router.delete("/{network:path}", status_code=204)
async def remove_network(network: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Let the clients in a network relay no more without authentication."""
    await NETWORKS.remove(network, parts, actor)
