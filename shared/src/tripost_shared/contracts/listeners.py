"""Edge's listeners as configuration: the key `listeners` of the bucket CONFIG.

Four built-in ones have their addresses from edge's settings. A `ListenerConfig` of the same name overrides all else
about them; any other is one more, and needs an address.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from tripost_shared.mail.client import ListenerKind

LISTENERS_KEY: Final = "listeners"


class TlsMode(StrEnum):
    """When a listener's clients begin TLS."""

    NONE = "none"  # never: it is not offered
    STARTTLS = "starttls"  # when they ask for it (RFC 3207)
    IMPLICIT = "implicit"  # with the first octet (RFC 8314 §3.3)


class TlsMinimum(StrEnum):
    """The oldest version of TLS that is spoken."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


# Mozilla's "intermediate" recommendation, version 5.7, for TLS 1.2; of TLS 1.3 all suites are good.
INTERMEDIATE_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-CHACHA20-POLY1305",
)


def _no_limits() -> dict[str, int | float]:
    return {}


class ListenerConfig(msgspec.Struct, frozen=True):
    """A listener.

    `address` is like `192.0.2.1:25` or `[2001:db8::1]:25`; "" for that of the built-in's setting. `ciphers`: OpenSSL's
    names of suites of TLS 1.2, best first; empty for INTERMEDIATE_CIPHERS. `proxies`: networks in CIDR form whose
    hosts must announce each client by the PROXY protocol; nobody else is served then; empty for none (for the built-in
    `proxy`: those of its setting). `mechanisms` of SASL; empty for the default ones. `check_author`: as EdgeConfig's,
    and counts only where that is true. `limits`: by the name of a field of `tripost_shared.edge_limits.SessionLimits`,
    what holds instead of the limit for all listeners. `nodes` that open it, by TRIPOST_EDGE_NODE; empty for all.
    """

    name: str
    enabled: bool = True
    address: str = ""
    kind: ListenerKind = ListenerKind.MX
    tls: TlsMode = TlsMode.STARTTLS
    tls_minimum: TlsMinimum = TlsMinimum.TLS_1_2
    ciphers: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()
    check_author: bool = True
    limits: dict[str, int | float] = msgspec.field(default_factory=_no_limits)
    nodes: tuple[str, ...] = ()
    comment: str = ""


class ListenersConfig(msgspec.Struct, frozen=True):
    """The configured listeners, each name once."""

    revision: int = 0
    listeners: tuple[ListenerConfig, ...] = ()


BUILT_IN: Final[Mapping[str, ListenerConfig]] = MappingProxyType(
    {
        "mx": ListenerConfig("mx"),
        "submission": ListenerConfig("submission", kind=ListenerKind.SUBMISSION),
        "submissions": ListenerConfig("submissions", kind=ListenerKind.SUBMISSION, tls=TlsMode.IMPLICIT),
        "proxy": ListenerConfig("proxy"),
    }
)
