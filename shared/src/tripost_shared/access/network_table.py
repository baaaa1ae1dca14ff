"""Networks by their prefixes: whichever of many thousands hold an address is found by a look-up for each length."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Generic, TypeVar

from tripost_shared.networks import Network

Value = TypeVar("Value")


class NetworkTable(Generic[Value]):
    """Values by network; of one network several."""

    def __init__(self, entries: Iterable[tuple[Network, Value]] = ()) -> None:
        # By version, then by the host bits that a prefix leaves, then by the prefix itself.
        self._prefixes: dict[int, dict[int, dict[int, list[Value]]]] = {4: {}, 6: {}}
        for network, value in entries:
            self.add(network, value)

    def add(self, network: Network, value: Value) -> None:
        """File a value under a network, behind those that are there."""
        host_bits = network.max_prefixlen - network.prefixlen
        prefixes = self._prefixes[network.version].setdefault(host_bits, {})
        prefixes.setdefault(int(network.network_address) >> host_bits, []).append(value)

    def holding(self, address: IPv4Address | IPv6Address) -> Iterator[Value]:
        """Give the values of all networks that the address is in."""
        number = int(address)
        for host_bits, prefixes in self._prefixes[address.version].items():
            found = prefixes.get(number >> host_bits)
            if found is not None:
                yield from found

    def covering(self, network: Network) -> Iterator[Value]:
        """Give the values of all networks that hold the whole of this one."""
        least = network.max_prefixlen - network.prefixlen
        number = int(network.network_address)
        for host_bits, prefixes in self._prefixes[network.version].items():
            if host_bits >= least and (found := prefixes.get(number >> host_bits)) is not None:
                yield from found


@lru_cache(maxsize=4096)
def parsed_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; None for what is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None
