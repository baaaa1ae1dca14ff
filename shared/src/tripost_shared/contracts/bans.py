"""Bans: networks whose clients are turned away for a while. Kept in the KV bucket BANS, one key a network.

Whoever bans writes the key; every worker of edge hears it at once, and reads all now and then. An entry outlives its
ban: how often its network was banned within the policy's memory makes the next ban longer.
"""

from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Final

import msgspec

from tripost_shared.networks import Network, parse_network

BANS_BUCKET: Final = "BANS"
MOST_BANS: Final = 100_000
WIDEST_BAN: Final = {4: 8, 6: 16}  # prefix lengths: what is wider is no client's network
ONE_CLIENTS_PREFIX: Final = {4: 32, 6: 64}  # an IPv4 address, the first 64 bits of IPv6: what is in one client's hands
BY_EDGE: Final = "edge "  # followed by the node's name


class Ban(msgspec.Struct, frozen=True):
    """A ban, in force from `since` until just before `until`.

    `network`: as `banned_network` gives it. `reason` is told to the client. `by`: `edge NODE`, or an operator's name.
    `offences`: how many automatic bans in a row this is the latest of; 0 for an operator's, and after it was lifted.
    """

    network: str
    reason: str
    since: datetime
    until: datetime
    by: str
    offences: int = 0

    @property
    def is_automatic(self) -> bool:
        """Whether edge made it, and no operator."""
        return self.by.startswith(BY_EDGE)

    def holds_at(self, now: datetime) -> bool:
        """Whether it is in force."""
        return now < self.until

    def lifted_at(self, now: datetime) -> "Ban":
        """Give the entry that ends it; what was counted before it counts no more."""
        return msgspec.structs.replace(self, until=now, offences=0)


class BanTrigger(msgspec.Struct, frozen=True):
    """What bans a client's network by itself: so many of something within a window, for how long (seconds)."""

    threshold: int
    enabled: bool = True
    window_seconds: int = 600
    duration_seconds: int = 1800


class BansPolicy(msgspec.Struct, frozen=True):
    """Automatic bans.

    A network that is banned again within `memory_seconds` after its last ban is banned twice as long as then,
    `longest_seconds` at most.
    """

    enabled: bool = True
    authentication: BanTrigger = BanTrigger(20, window_seconds=3600, duration_seconds=3600)  # failed ones
    protocol: BanTrigger = BanTrigger(10)  # sessions that were ended for errors; HTTP, or TLS where none is expected
    unknown_recipients: BanTrigger = BanTrigger(100)
    early_talkers: BanTrigger = BanTrigger(5)  # clients that talk before they are greeted
    longest_seconds: int = 86_400
    memory_seconds: int = 86_400


@lru_cache(maxsize=MOST_BANS)  # all bans are read again and again
def banned_network(text: str) -> Network:
    """Read what is to be banned: an address or a network; of IPv6 a /64 at least. Raises ValueError."""
    given = parse_network(text.strip())
    if isinstance(given, IPv6Network):
        mapped = given.network_address.ipv4_mapped
        if mapped is not None and given.prefixlen >= 96:
            given = IPv4Network((mapped, given.prefixlen - 96))
        elif given.prefixlen > ONE_CLIENTS_PREFIX[6]:
            given = given.supernet(new_prefix=ONE_CLIENTS_PREFIX[6])
    if given.prefixlen < WIDEST_BAN[given.version]:
        raise ValueError(
            f"{given} is too much of the Internet to ban; accepted is an address or a network, "
            f"/{WIDEST_BAN[given.version]} at the widest with IPv{given.version}"
        )
    return given


def ban_name(network: Network) -> str:
    """Write a network as people do: one IPv4 address without its prefix length."""
    return str(network.network_address) if network.prefixlen == 32 and network.version == 4 else str(network)


def ban_key(network: Network) -> str:
    """Give the key in the bucket: version, address in hexadecimal, prefix length (`v4.c0000207.32`)."""
    digits = 8 if network.version == 4 else 32
    return f"v{network.version}.{int(network.network_address):0{digits}x}.{network.prefixlen}"
