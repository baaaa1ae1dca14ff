"""The resolver as services see it."""

import math
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol


class Status(StrEnum):
    """How a look-up ended."""

    FOUND = "found"
    NO_DATA = "no data"  # the name exists, or may, but has no such record (NOERROR without answer)
    NO_NAME = "no name"  # NXDOMAIN
    FAILED = "failed"  # SERVFAIL, REFUSED, garbage, or no answer in time: nothing is known


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The end of a look-up, CNAMEs followed.

    `records` by type: A, AAAA: the address as text; PTR, CNAME, NS: the name in lower case without a final dot;
    TXT: the strings of one record joined, as octets decoded by latin-1; MX: "preference host", sorted.
    `good_until`: the time of the asker's monotonic clock up to which what follows from it may be remembered.
    """

    status: Status
    records: tuple[str, ...] = ()
    ttl_seconds: int = 0
    because: str = ""  # for FAILED: what went wrong
    good_until: float = field(default=math.inf, compare=False)


class Resolver(Protocol):
    """Looks names up; shares its cache among all askers.

    Equal questions at one time go out once, unless the answer has TTL 0: then it is for the first asker alone.
    """

    async def resolve(self, name: str, record_type: str, within: timedelta | None = None) -> DnsAnswer:
        """Look a name up (`record_type`: "A", "AAAA", "MX", "TXT", "PTR", "CNAME", "NS", "TLSA").

        Never raises for the DNS' sake: what went wrong is a FAILED answer. `within` bounds it (None: the resolver's).
        """
        ...

    def cached(self, name: str, record_type: str) -> DnsAnswer | None:
        """Give what is remembered, without asking."""
        ...
