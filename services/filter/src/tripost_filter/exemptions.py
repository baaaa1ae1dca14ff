"""Clients that some checks pass over."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import structlog

from tripost_shared.mail.client import Client
from tripost_shared.networks import Network, parse_network

log = structlog.get_logger()


class Exemptions:
    """Our own clients, and those in the networks that an administrator exempts from block lists and greylisting."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(network for network in map(_network, networks) if network is not None)

    def cover(self, client: Client) -> bool:
        """Whether the client is trusted or exempt.

        One that a proxy announced is never on this machine, whatever the proxy says; one that its proxy did not name
        is not where its address is.
        """
        if client.is_trusted:
            return True
        address = address_of(client)
        if address is None or client.unnamed_by_proxy:
            return False
        if client.announced_by_proxy and (address.is_loopback or address.is_unspecified):
            return False
        return any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; None when it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def address_of(client: Client) -> IPv4Address | IPv6Address | None:
    """Give the client's address; None when it has none (a socket of this machine)."""
    return parse_address(client.address)


def _network(text: str) -> Network | None:
    try:
        return parse_network(text)
    except ValueError:
        log.warning("exempt network cannot be read and is left out", network=text)
        return None
