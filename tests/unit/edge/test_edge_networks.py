"""Networks of clients: what they hold, and what is none."""

import asyncio
import ssl
from typing import Any

import pytest
from pydantic import ValidationError

from edge_world import EdgeWorld
from tripost_edge.firewall.networks import Networks
from tripost_edge.listeners.client_connection import ClientConnection
from tripost_edge.listeners.context import ListenerProfile, ProfileInForce
from tripost_edge.settings import EdgeSettings
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.mail.client import ListenerKind
from tripost_shared.settings import explain


class OnALink(asyncio.Transport):
    """A connection of a link-local client, whose address the system tells with the link or without."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._address, 40000, 0, 2) if name == "peername" else default


def test_a_network_with_a_zone_is_named_as_invalid_and_holds_nobody() -> None:
    networks = Networks(["fe80::1%x/128", "fe80::%eth0/64", "192.0.2.0/24"])
    assert networks.invalid == ("fe80::1%x/128", "fe80::%eth0/64")
    assert not networks.contain("fe80::1")
    assert networks.contain("192.0.2.1")


def test_a_proxys_network_with_a_zone_is_refused_by_the_name_of_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_EDGE_PROXY_TRUSTED_NETWORKS", "127.0.0.1/32,fe80::1%lo/128")
    with pytest.raises(ValidationError) as raised:
        EdgeSettings()
    assert explain(raised.value).startswith("TRIPOST_EDGE_PROXY_TRUSTED_NETWORKS: fe80::1%lo/128: not a network")


@pytest.mark.parametrize("told", ["fe80::1%lo", "fe80::1"])
async def test_a_client_on_a_link_is_known_without_its_zone(told: str) -> None:
    world = EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    profile = ListenerProfile("mx", ListenerKind.MX)
    assert world.edge.context.place_of(profile, told).network == "fe80::/64"
    world.edge.take_config(EdgeConfig(relay_networks=("fe80::/64",)))
    connection = ClientConnection(asyncio.get_running_loop(), world.edge.context, ProfileInForce(profile))
    connection._connection = OnALink(told)
    client = await connection.identify()
    assert (client.address, client.relay_permitted) == ("fe80::1", True)
