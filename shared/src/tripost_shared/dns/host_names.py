"""What an address is called (PTR), and which of its names lead back to it ("iprev", RFC 8601 §3)."""

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Final

from tripost_shared.access.facts import NO_NAMES, HostNames
from tripost_shared.access.network_table import parsed_address
from tripost_shared.dns.port import DnsAnswer, Resolver, Status

MOST_NAMES: Final = 5  # of an address that count; some have hundreds (RFC 8601 §3 leaves the limit to us)
FORWARD_TYPES: Final = MappingProxyType({4: "A", 6: "AAAA"})

# Whoever owns an address may call it anything. What is no host name (RFC 1123 §2.1; underscores as in many of Windows)
# goes nowhere: neither into a look-up nor into findings, and so into no header field, log or terminal.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*(?!\d+\Z){_LABEL}")


@lru_cache(maxsize=4096)
def reverse_name(address: IPv4Address | IPv6Address) -> str:
    """`192.0.2.7` gives `7.2.0.192.in-addr.arpa` (RFC 1035 §3.5), IPv6 32 nibbles under `ip6.arpa` (RFC 3596 §2.5)."""
    return address.reverse_pointer


def host_names(records: Sequence[str]) -> list[str]:
    """Give the first MOST_NAMES names that a host may have."""
    return [name for name in records if _HOST_NAME.fullmatch(name)][:MOST_NAMES]


async def names_of(address: str, resolver: Resolver) -> HostNames:
    """Look an address' names up, in twice the resolver's time at most; what the resolver remembers costs nothing."""
    parsed = parsed_address(address)
    if parsed is None:
        return NO_NAMES
    answer = await resolver.resolve(reverse_name(parsed), "PTR")
    if answer.status is Status.FAILED:
        return HostNames(failure=answer.because or "no answer")
    names = tuple(host_names(answer.records))
    forward = await asyncio.gather(*(resolver.resolve(name, FORWARD_TYPES[parsed.version]) for name in names))
    confirmed = tuple(name for name, found in zip(names, forward, strict=True) if _leads_to(found, parsed))
    failures = (found.because or "no answer" for found in forward if found.status is Status.FAILED)
    return HostNames(names, confirmed, next(failures, ""))


def _leads_to(answer: DnsAnswer, address: IPv4Address | IPv6Address) -> bool:
    return any(parsed_address(record) == address for record in answer.records)
