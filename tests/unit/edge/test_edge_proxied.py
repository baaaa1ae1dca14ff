"""A proxy that names no client: its health checks (LOCAL), and clients that it does not know (UNKNOWN)."""

import asyncio
import ssl
from typing import Any

import pytest

from edge_world import EdgeWorld
from tripost_edge.firewall.networks import Networks
from tripost_edge.listeners.client_connection import ClientConnection
from tripost_edge.listeners.context import ListenerProfile, ProfileInForce
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.mail.client import ListenerKind

PROXY = "192.0.2.10"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


class FromTheProxy(asyncio.Transport):
    """A connection from the proxy's address."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (PROXY, 40000) if name == "peername" else default


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", LOCAL])
async def test_it_has_not_the_rights_of_the_network_that_it_is_in(header: bytes) -> None:
    world = EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    world.edge.take_config(EdgeConfig(relay_networks=("192.0.2.0/24",)))
    profile = ListenerProfile("proxy", ListenerKind.MX, proxies=Networks(["192.0.2.0/24"]))
    connection = ClientConnection(asyncio.get_running_loop(), world.edge.context, ProfileInForce(profile))
    connection._connection = FromTheProxy()
    connection.data_received(header)
    client = await connection.identify()
    assert (client.address, client.announced_by_proxy, client.relay_permitted) == (PROXY, True, False)
    assert client.unnamed_by_proxy
