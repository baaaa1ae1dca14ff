"""Networks whose clients may say by XCLIENT whom they speak for."""

from fastapi import APIRouter, Response

from tripost_admin_api.api import paging
from tripost_admin_api.api.edge_networks import NetworkList, NetworkOut
from tripost_admin_api.api.models import Incoming, Page, XclientNetwork
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded

router = APIRouter(prefix="/xclient-networks", tags=["XCLIENT networks"])

NETWORKS = NetworkList("xclient_networks", "xclient-network", "may use XCLIENT")


class XclientIn(Incoming):
    """A network to add."""

    network: XclientNetwork


@router.get("")
async def list_xclient_networks(parts: PartsNeeded, query: paging.Listing) -> Page[NetworkOut]:
    """List the networks."""
    return await NETWORKS.page(parts, query)


@router.post("", status_code=201)
async def add_xclient_network(
    body: XclientIn, parts: PartsNeeded, actor: ActorNeeded, response: Response
) -> NetworkOut:
    """Believe what the clients in a network say by XCLIENT."""
    return await NETWORKS.add(body.network, parts, actor, response)


@router.get("/{network:path}")
async def show_xclient_network(network: str, parts: PartsNeeded) -> NetworkOut:
    """Show a network."""
    return await NETWORKS.show(network, parts)


@router.delete("/{network:path}", status_code=204)
async def remove_xclient_network(network: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
    """Let the clients in a network use XCLIENT no more."""
    await NETWORKS.remove(network, parts, actor)
