"""Which settings each service gets: what all share, its own, and no secret of another. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tripost_shared.unknown_settings import unknown_settings

OWN_PREFIX: Final = MappingProxyType(
    {
        "edge": "TRIPOST_EDGE_",
        "filter": "TRIPOST_FILTER_",
        "domains": "TRIPOST_DOMAINS_",
        "admin-api": "TRIPOST_ADMIN_",
    }
)
_CLUSTER_PREFIX: Final = "TRIPOST_CLUSTER_"
_DATABASE_PREFIX: Final = "TRIPOST_DATABASE_"
WITH_DATABASE: Final = frozenset({"domains", "admin-api"})


def known_only(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out what looks like a setting and is none: each service would tell of it again."""
    unknown = unknown_settings(environment)
    return {name: value for name, value in environment.items() if name not in unknown}


def service_environment(service: str, operators: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Give a service's environment: the operator's without what is not for it, then ours."""
    return {name: value for name, value in operators.items() if _is_for(service, name)} | dict(ours)


def _is_for(service: str, variable: str) -> bool:
    if variable.startswith(_DATABASE_PREFIX):
        return service in WITH_DATABASE
    foreign = [prefix for other, prefix in OWN_PREFIX.items() if other != service]
    return not variable.startswith((_CLUSTER_PREFIX, *foreign))
