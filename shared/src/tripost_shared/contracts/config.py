"""The configuration of the tiers: written by admin-api into the KV bucket CONFIG, watched by everyone else.

Each key holds one struct as JSON. A tier that finds no key yet uses the struct's defaults.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from tripost_shared.contracts.bans import BansPolicy

CONFIG_BUCKET: Final = "CONFIG"
EDGE_KEY: Final = "edge"
FILTER_KEY: Final = "filter"
DIRECTORY_KEY: Final = "directory"


class PolicyMode(StrEnum):
    """Whether verdicts act."""

    ENFORCE = "enforce"
    MONITOR = "monitor"  # judge and tag everything, refuse and greylist nothing


class OnError(StrEnum):
    """What a check that could not do its work means."""

    ACCEPT = "accept"  # as if it had found nothing
    TEMPFAIL = "tempfail"  # the client comes back later
    SCORE = "score"  # adds `error_score`


class CheckPolicy(msgspec.Struct, frozen=True):
    """The failure policy and time budget of one check."""

    enabled: bool = True
    on_error: OnError = OnError.ACCEPT
    error_score: float = 0.0
    time_budget_ms: int = 2000


# The checks there are, by name; each has this policy unless the configuration has another.
DEFAULT_CHECKS: Final[Mapping[str, CheckPolicy]] = MappingProxyType(
    {
        "patterns": CheckPolicy(time_budget_ms=20_000),
        "dnsbl": CheckPolicy(),
        "reverse_dns": CheckPolicy(),
        "spf": CheckPolicy(),
        "greylist": CheckPolicy(time_budget_ms=1000),
        "dkim": CheckPolicy(time_budget_ms=20_000),
        "headers": CheckPolicy(),
    }
)


class DnsblZone(msgspec.Struct, frozen=True):
    """A block list: its zone, and what a listing adds to the score (`refuse`: a listing alone refuses)."""

    zone: str
    score: float = 4.0
    refuse: bool = True


class GreylistPolicy(msgspec.Struct, frozen=True):
    """RFC 6647: a triplet's first sight is deferred. Durations in seconds."""

    enabled: bool = True
    delay_seconds: int = 300
    retry_window_seconds: int = 172_800  # a retry within two days counts (RFC 6647 §5)
    remember_seconds: int = 3_024_000  # a triplet that passed is known for 35 days


def _default_checks() -> dict[str, CheckPolicy]:
    return {}


class FilterConfig(msgspec.Struct, frozen=True):
    """How mail is judged. Checks that `checks` does not name have the policy of DEFAULT_CHECKS."""

    revision: int = 0
    mode: PolicyMode = PolicyMode.ENFORCE
    checks: dict[str, CheckPolicy] = msgspec.field(default_factory=_default_checks)
    dnsbl_zones: tuple[DnsblZone, ...] = ()
    greylist: GreylistPolicy = GreylistPolicy()
    reject_score: float = 15.0
    tag_score: float = 6.0
    spf_reject_fail: bool = True
    exempt_networks: tuple[str, ...] = (
        "127.0.0.0/8",
        "::1/128",
    )  # from DNSBL and greylist; an announced loopback address is not


def _default_limits() -> dict[str, int | float]:
    return {}


class EdgeConfig(msgspec.Struct, frozen=True):
    """How clients are met.

    `relay_networks` in CIDR form: clients in them may relay without authentication. `limits`: by the name of a field of
    `tripost_shared.edge_limits.EdgeLimits`, what replaces the default that each edge has in its settings.
    `check_author`: a login may write only as authors (From field) that it may send as. Clients in `xclient_networks`
    may say by XCLIENT whom they speak for.
    """

    revision: int = 0
    relay_networks: tuple[str, ...] = ()
    limits: dict[str, int | float] = msgspec.field(default_factory=_default_limits)
    check_author: bool = True
    xclient_networks: tuple[str, ...] = ()
    bans: BansPolicy = BansPolicy()


class DirectoryChange(msgspec.Struct, frozen=True):
    """Something in domains, mailboxes, aliases or routes has changed: drop what is remembered of it."""

    revision: int = 0
