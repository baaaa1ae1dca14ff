"""What counts as one client: the network that it commands; pure."""

from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Final

NETWORK_PREFIXES: Final = MappingProxyType({4: 24, 6: 64})  # as the greylist has it


def network_of(client_address: str) -> str:
    """Give the network that counts as one client: `192.0.2.0/24`, `2001:db8::/64`; a name without an address itself."""
    try:
        address = ip_address(client_address)
    except ValueError:
        return client_address
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ip_network((address.packed, NETWORK_PREFIXES[address.version]), strict=False))
