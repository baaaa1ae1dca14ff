"""The checks: all that exist, in the order in which their refusals count.

A new check is one file in `checks/`, one entry here, and its name and policy in `contracts.config.DEFAULT_CHECKS`, by
which admin-api knows it too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec

from tripost_filter.check import Check
from tripost_filter.checks.dkim import Dkim
from tripost_filter.checks.dnsbl import Dnsbl
from tripost_filter.checks.greylist import Greylist, KnownTriplets
from tripost_filter.checks.headers import Headers
from tripost_filter.checks.patterns import Patterns
from tripost_filter.checks.reverse_dns import ReverseDns
from tripost_filter.checks.spf import Spf
from tripost_filter.exemptions import Exemptions
from tripost_shared.clock import Clock
from tripost_shared.contracts.config import DEFAULT_CHECKS, CheckPolicy, FilterConfig, PolicyMode
from tripost_shared.dns.port import Resolver
from tripost_shared.kv.port import Bucket


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What checks are built from; it outlives any one configuration."""

    hostname: str
    clock: Clock
    resolver: Resolver
    triplets: Bucket
    known_triplets: KnownTriplets


@dataclass(frozen=True, slots=True)
class Registration:
    """How a check is built, and its policy unless the configuration has another."""

    build: Callable[[FilterConfig, Surroundings], Check]
    policy: CheckPolicy


def _dnsbl(config: FilterConfig, around: Surroundings) -> Check:
    return Dnsbl(config.dnsbl_zones, Exemptions(config.exempt_networks), around.resolver, around.clock)


def _greylist(config: FilterConfig, around: Surroundings) -> Check:
    policy = config.greylist
    if config.mode is PolicyMode.MONITOR:  # a triplet noted while nothing is deferred would never see its retry
        policy = msgspec.structs.replace(policy, enabled=False)
    exemptions = Exemptions(config.exempt_networks)
    return Greylist(policy, exemptions, around.triplets, around.known_triplets, around.clock)


def _spf(config: FilterConfig, around: Surroundings) -> Check:
    return Spf(around.resolver, around.clock, around.hostname, refuse_fail=config.spf_reject_fail)


BUILDERS: Final[Mapping[str, Callable[[FilterConfig, Surroundings], Check]]] = MappingProxyType(
    {
        "patterns": lambda _config, _around: Patterns(),
        "dnsbl": _dnsbl,
        "reverse_dns": lambda _config, around: ReverseDns(around.resolver, around.clock),
        "spf": _spf,
        "greylist": _greylist,
        "dkim": lambda _config, around: Dkim(around.resolver, around.clock),
        "headers": lambda _config, _around: Headers(),
    }
)
CHECKS: Final[Mapping[str, Registration]] = MappingProxyType(
    {name: Registration(build, DEFAULT_CHECKS[name]) for name, build in BUILDERS.items()}
)


def build_checks(config: FilterConfig, around: Surroundings) -> list[tuple[Check, CheckPolicy]]:
    """Give the enabled checks with the policy that applies to each."""
    policies = {name: config.checks.get(name, registration.policy) for name, registration in CHECKS.items()}
    return [
        (registration.build(config, around), policies[name])
        for name, registration in CHECKS.items()
        if policies[name].enabled
    ]
