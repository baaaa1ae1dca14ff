"""Environment variables that look like settings and are none: a misspelt one would be ignored in silence. Pure."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from tripost_shared.known_settings import KNOWN_SETTINGS

_PREFIX: Final = "TRIPOST_"
_LIKENESS: Final = 0.7  # finds EDGE_WORKERS for WORKERS
# Kubernetes tells each pod of each Service (`enableServiceLinks`): one that is named tripost-nats gives such names.
_SERVICE_LINK: Final = re.compile(r"\w+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")
_LINK_VALUE: Final = re.compile(r"(?:tcp|udp|sctp)://.*")


def unknown_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Give each variable that is no setting, with the nearest one that is; "" when none is near."""
    return {
        name: _nearest(name)
        for name, value in sorted(environment.items())
        if name.startswith(_PREFIX) and name not in KNOWN_SETTINGS and not _is_service_link(name, value)
    }


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _LINK_VALUE.fullmatch(value)))


def _nearest(name: str) -> str:
    known = [known.removeprefix(_PREFIX) for known in sorted(KNOWN_SETTINGS)]  # the prefix makes all of them alike
    near = get_close_matches(name.removeprefix(_PREFIX), known, n=1, cutoff=_LIKENESS)
    return f"{_PREFIX}{near[0]}" if near else ""
