"""Which addresses mail goes to when no administrator has named them; pure."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

_NOT_GLOBAL: Final = (  # which `ipaddress` learnt late
    IPv4Network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, withdrawn (RFC 7526)
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # all that is given out (RFC 4291 §2.4, IANA)
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1


class Reach:
    """Judges addresses that senders or the DNS choose: an address literal, or what an MX record leads to.

    Whoever may send could otherwise make this machine talk to what only it can reach. So an address must be globally
    reachable unicast, or lie in one of the networks `also`; this machine itself is taken only with `loopback`.
    """

    def __init__(self, also: Collection[IPv4Network | IPv6Network] = (), *, loopback: bool = False) -> None:
        self._also = tuple(also)
        self._loopback = loopback

    def covers(self, address: IPv4Address | IPv6Address) -> bool:
        """Tell whether mail may go there; an IPv4 address in IPv6's clothes is judged as what it is."""
        plain = _undressed(address)
        if plain.is_unspecified or plain.is_multicast:
            return False
        if plain.is_loopback:
            return self._loopback
        return _is_global(plain) or any(each in network for network in self._also for each in (plain, address))


def _undressed(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Give the IPv4 address that a mapped (RFC 4291 §2.5.5.2), NAT64 or 6to4 (RFC 3056) address leads to."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not any(address in network for network in _NOT_GLOBAL)
