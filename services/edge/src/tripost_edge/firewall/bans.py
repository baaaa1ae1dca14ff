"""Which networks are banned, as this worker knows it; pure.

A look-up costs one dictionary access for each prefix length in use. `generation` tells a session whether it has to look
again: it grows with every change.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Final

from tripost_shared.contracts.bans import MOST_BANS, ONE_CLIENTS_PREFIX, Ban, ban_name, banned_network

BITS: Final = {4: 32, 6: 128}
HEARD_COUNTS_SECONDS: Final = 5.0  # a reading that began before, or came from a replica that lags, knows it not yet


class BanTable:
    """Bans by network. Those that have ended stay until a reading leaves them out: they lengthen the next one."""

    def __init__(self, most: int = MOST_BANS) -> None:
        self._most = most
        self._bans: dict[tuple[int, int], dict[int, Ban]] = {}  # by version and prefix length, then by address
        self._count = 0
        self._heard: dict[str, tuple[Ban, float]] = {}
        self._stored: list[Ban] = []
        self.generation = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether another network has no room."""
        return self._count >= self._most

    def hear(self, ban: Ban, at: float) -> None:
        """Take a ban that was just written; `at` in seconds that never go back."""
        self._heard[ban.network] = (ban, at)
        self._put(ban)
        self.generation += 1

    def replace(self, bans: Iterable[Ban], at: float) -> None:
        """Take over all that is stored; what was heard lately counts more."""
        stored = list(bans)
        if stored == self._stored and not self._heard:
            return  # the same as the last time: with 100,000 of them, 2 ms and not 250
        self._stored = stored
        self._heard = {name: entry for name, entry in self._heard.items() if at - entry[1] < HEARD_COUNTS_SECONDS}
        before = self._bans
        self._bans = {}
        self._count = 0
        for ban in stored:
            self._put(ban)
        for ban, _ in self._heard.values():
            self._put(ban)
        if self._bans != before:
            self.generation += 1

    def holding(self, address: str, now: datetime, *, has_login: bool = False) -> Ban | None:
        """Give the ban in force that a client's address is under, the one that ends last; None for none.

        Automatic bans do not concern who has logged in.
        """
        if not self._count:
            return None
        version, number = _parsed(address)
        found: Ban | None = None
        for (of_version, prefix), bans in self._bans.items():
            if of_version == version:
                shift = BITS[version] - prefix
                ban = bans.get(number >> shift << shift)
                if ban is None or not ban.holds_at(now) or (has_login and ban.is_automatic):
                    continue
                if found is None or found.until < ban.until:
                    found = ban
        return found

    def entry(self, network: str) -> Ban | None:
        """Give what is known of exactly this network, in force or not; None for nothing."""
        key, number = _place(network)
        return self._bans.get(key, {}).get(number)

    def in_force(self, now: datetime) -> int:
        """Count those that hold."""
        return sum(ban.holds_at(now) for bans in self._bans.values() for ban in bans.values())

    def _put(self, ban: Ban) -> None:
        key, number = _place(ban.network)
        bans = self._bans.setdefault(key, {})
        if number not in bans:
            if self.is_full:
                return
            self._count += 1
        bans[number] = ban


def one_clients_network(address: str) -> str:
    """Name the network that is banned for what one client does: its IPv4 address, of IPv6 the first 64 bits."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return ban_name(IPv4Network(parsed))
    return ban_name(banned_network(f"{address}/{ONE_CLIENTS_PREFIX[6]}"))


@lru_cache(maxsize=MOST_BANS)
def _place(name: str) -> tuple[tuple[int, int], int]:
    network = banned_network(name)
    return (network.version, network.prefixlen), int(network.network_address)


@lru_cache(maxsize=4096)
def _parsed(address: str) -> tuple[int, int]:
    parsed = ip_address(address)
    return parsed.version, int(parsed)
