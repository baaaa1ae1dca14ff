"""A host to connect to, and what DNS records and configuration say of it; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address


@dataclass(frozen=True, slots=True)
class Host:
    """An address to connect to, with the name it was found by."""

    name: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class Way:
    """A host, and how TLS is asked for there: what is known of the one way need not hold for the other."""

    host: Host
    tls: str


def parse_exchangers(records: Iterable[str]) -> list[tuple[int, str]]:
    """Read MX records ("10 mx.example"); the root, which stands for "no mail" (RFC 7505), becomes ""."""
    pairs = (record.split(maxsplit=1) for record in records)
    return [(int(pair[0]), pair[1].lower().removesuffix(".") if len(pair) == 2 else "") for pair in pairs]


def parse_literal(host: str) -> IPv4Address | IPv6Address | None:
    """Read `192.0.2.1`, `[192.0.2.1]`, `2001:db8::1` or `[IPv6:2001:db8::1]`; None when it is a name."""
    text = host.strip("[]")
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        return ip_address(text)
    except ValueError:
        return None


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Read an address as a host has it; a mapped one is IPv4's."""
    address = ip_address(text)
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
