"""Networks: whose clients may relay without authentication, and which proxies are believed."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address

from tripost_shared.networks import ZONE_SIGN, Network, parse_network


class Networks:
    """A set of networks in CIDR form. Entries that are none are left out and named in `invalid`."""

    def __init__(self, texts: Iterable[str]) -> None:
        networks: list[Network] = []
        invalid: list[str] = []
        for text in texts:
            try:
                networks.append(parse_network(text))
            except ValueError:
                invalid.append(text)
        self.invalid = tuple(invalid)
        self.names = tuple(map(str, networks))
        self._networks = tuple(networks)
        self._looked_up = lru_cache(maxsize=4096)(self._look_up)

    def contain(self, address: str) -> bool:
        """Whether the address, in its usual text form, is in one of them."""
        return bool(self._networks) and self._looked_up(address)

    def _look_up(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


class RelayAccess:
    """Which clients may relay without a login: those in the networks of the configuration in force."""

    def __init__(self) -> None:
        self._networks = Networks(())
        self._proxies: tuple[Networks, ...] = ()
        self._speakers = Networks(())

    @property
    def trusted_proxies(self) -> list[str]:
        """The networks of trusted proxies, in CIDR form."""
        return sorted({name for networks in (*self._proxies, self._speakers) for name in networks.names})

    def trust_proxies(self, proxies: Iterable[Networks]) -> None:
        """Count no client that connects from these: it is a proxy, which stands for many."""
        self._proxies = tuple(proxies)

    def trust_speakers(self, networks: Networks) -> None:
        """Do the same with these, who say by XCLIENT whom they speak for."""
        self._speakers = networks

    def replace(self, networks: Networks) -> None:
        """Put other networks in force."""
        self._networks = networks

    def permits(self, address: str, *, announced_by_proxy: bool) -> bool:
        """Whether the client may; a client that a proxy announced is never on this machine, whatever it says."""
        return self._networks.contain(address) and not (announced_by_proxy and is_of_this_machine(address))

    def counted_network(self, address: str, *, announced_by_proxy: bool) -> str:
        """Name the network whose sessions this client's counts among; "" for those of ours, which are not counted.

        They are this machine, trusted proxies, and whoever may relay: what sends for many is there.
        """
        is_ours = not announced_by_proxy and (is_of_this_machine(address) or self._is_proxy(address))
        return "" if is_ours or self.permits(address, announced_by_proxy=announced_by_proxy) else network_of(address)

    def _is_proxy(self, address: str) -> bool:
        return any(networks.contain(address) for networks in (*self._proxies, self._speakers))


@lru_cache(maxsize=4096)
def is_of_this_machine(address: str) -> bool:
    """Whether an address is one of the loopback, or none at all."""
    parsed = ip_address(address)
    return parsed.is_loopback or parsed.is_unspecified


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Name the network that is in one client's hands: an IPv4 address, of IPv6 the first 64 bits."""
    parsed = ip_address(address)
    return address if isinstance(parsed, IPv4Address) else str(IPv6Network((parsed, 64), strict=False))


@lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """Give an address in its usual form: no zone, `::ffff:192.0.2.1` as IPv4. Raises ValueError."""
    address = ip_address(text.partition(ZONE_SIGN)[0])
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or address)
