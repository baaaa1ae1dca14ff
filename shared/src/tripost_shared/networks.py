"""Networks in CIDR form, as administrators name them; pure."""

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

ZONE_SIGN = "%"  # `fe80::1%eth0` (RFC 4007 §11)


def parse_network(text: str) -> Network:
    """Read a network, also with bits behind its prefix; raises ValueError for what is none, or names a zone.

    Clients are known by their address alone, so a network with a zone would hold those of every other one as well.
    """
    if ZONE_SIGN in text:
        raise ValueError(f"{text!r} names a zone ({ZONE_SIGN}), which no network here has")
    return ip_network(text, strict=False)
