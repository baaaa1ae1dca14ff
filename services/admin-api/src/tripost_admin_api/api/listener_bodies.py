"""Listeners as requests give them, and what is wrong with one; pure.

What is left out of a listener that is named as a built-in one is as the built-in one has it.
"""

import ssl
from collections.abc import Iterable, Iterator
from functools import cache
from ipaddress import ip_address
from typing import Annotated, Any, Final

import msgspec
from pydantic import AfterValidator, Field

from tripost_admin_api.api import names
from tripost_admin_api.api.limit_values import errors_of_limits
from tripost_admin_api.api.models import Incoming
from tripost_admin_api.api.problems import FieldError, all_invalid
from tripost_shared.contracts.listeners import (
    BUILT_IN,
    INTERMEDIATE_CIPHERS,
    ListenerConfig,
    ListenersConfig,
    TlsMinimum,
    TlsMode,
)
from tripost_shared.contracts.sasl import Mechanism
from tripost_shared.edge_limits import SessionLimits
from tripost_shared.mail.client import ListenerKind
from tripost_shared.mail.header import is_printable
from tripost_shared.networks import ZONE_SIGN
from tripost_shared.settings import Listen

LEAST_CIPHER_BITS: Final = 128


def _address(text: str) -> str:
    if not text:
        return ""
    listen = Listen.parse(text.strip())
    if not listen.port:
        raise ValueError("accepted is a port from 1 to 65535, such as 192.0.2.1:25")
    if ZONE_SIGN in listen:
        raise ValueError(f"{text!r} names a zone ({ZONE_SIGN}), which no address here has")
    host = ip_address(listen.host)
    return f"{host}:{listen.port}" if host.version == 4 else f"[{host}]:{listen.port}"


def _cipher(name: str) -> str:
    if name not in usable_ciphers():
        raise ValueError(
            f"{name[:100]!r} is no suite of TLS 1.2 that is good enough; accepted: {', '.join(INTERMEDIATE_CIPHERS)}, "
            f"and what else OpenSSL has of {LEAST_CIPHER_BITS} bits or more with a certificate"
        )
    return name


def _once(given: list[str]) -> list[str]:
    for number, one in enumerate(given):
        if one in given[:number]:
            raise ValueError(f"{one} is given twice")
    return given


def _comment(text: str) -> str:
    if not is_printable(text):
        raise ValueError("accepted is one line of printable text")
    return text


@cache
def usable_ciphers() -> tuple[str, ...]:
    """Give OpenSSL's names of its suites of TLS 1.2 that encrypt well, and with somebody who is known."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL")
    suites: list[dict[str, Any]] = [dict(suite) for suite in context.get_ciphers()]
    return tuple(
        suite["name"]
        for suite in suites
        if suite["protocol"] != "TLSv1.3"
        and suite["strength_bits"] >= LEAST_CIPHER_BITS
        and suite["auth"] in {"auth-rsa", "auth-ecdsa"}
        and not {"PSK", "SRP"} & set(suite["name"].split("-"))
    )


NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class ListenerBody(Incoming):
    """All about a listener but its name."""

    enabled: bool = Field(True, description="False: it is closed.")
    address: Annotated[str, AfterValidator(_address)] = Field(
        "", examples=["192.0.2.1:25", "[2001:db8::1]:25"], description="Empty: that of the built-in one's setting."
    )
    kind: ListenerKind = Field(
        ListenerKind.MX,
        description="`mx`: mail from the Internet, no login; `submission`: our users, who must log in; `internal`: "
        "clients in relay networks and on edge's own machine, without a login.",
    )
    tls: TlsMode = Field(TlsMode.STARTTLS, description="`implicit`: from the first octet.")
    tls_minimum: TlsMinimum = Field(TlsMinimum.TLS_1_2, description="The oldest TLS that is spoken.")
    ciphers: Annotated[list[Annotated[str, AfterValidator(_cipher)]], AfterValidator(_once)] = Field(
        [], max_length=100, description="Suites of TLS 1.2 by OpenSSL's names. Empty: Mozilla's intermediate list, 5.7."
    )
    proxies: Annotated[list[Annotated[str, AfterValidator(names.proxy_network)]], AfterValidator(_once)] = Field(
        [],
        max_length=100,
        examples=[["192.0.2.0/24"]],
        description="Networks whose hosts announce each client by the PROXY protocol; others are cut off. Empty: "
        "clients come themselves (but to `proxy`: then its setting holds).",
    )
    check_author: bool = Field(
        True, description="Logins write (From field) only as they may send; false counts for this listener alone."
    )
    mechanisms: Annotated[list[Mechanism], AfterValidator(_once)] = Field(
        [], description="Of SASL, for `submission`. Empty: all that work."
    )
    limits: dict[str, Any] = Field(
        {}, description=f"What holds instead of the limits for all listeners: {', '.join(SessionLimits.model_fields)}."
    )
    nodes: Annotated[list[NodeName], AfterValidator(_once)] = Field(
        [], max_length=1000, description="Replicas of edge that open it, by TRIPOST_EDGE_NODE. Empty: all."
    )
    comment: Annotated[str, AfterValidator(_comment)] = Field("", max_length=200)


class ListenerIn(ListenerBody):
    """A listener to add."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


def configured(name: str, body: ListenerBody) -> ListenerConfig:
    """Give the listener that a body means. Raises Problem, of its limits."""
    wrong = list(errors_of_limits(body.limits, SessionLimits, "body.limits"))
    if wrong:
        raise all_invalid(wrong)
    given = body.model_dump(mode="json", include=body.model_fields_set - {"name"})
    if "limits" in given:
        given["limits"] = {limit: value for limit, value in given["limits"].items() if value is not None}
    base = msgspec.to_builtins(BUILT_IN.get(name, ListenerConfig(name)))
    return msgspec.convert({**base, **given}, ListenerConfig)


def errors_of(listener: ListenerConfig, others: Iterable[ListenerConfig]) -> Iterator[FieldError]:
    """Say what of it does not go together, or not with the other listeners."""
    if not listener.address and listener.name not in BUILT_IN:
        built_in = ", ".join(BUILT_IN)
        yield FieldError("body.address", f"accepted is one like 192.0.2.1:25; only {built_in} have one by themselves")
    is_submission = listener.kind is ListenerKind.SUBMISSION
    if is_submission and listener.tls is TlsMode.NONE:
        yield FieldError("body.tls", "accepted for kind submission is starttls or implicit: nobody logs in without TLS")
    if listener.mechanisms and not is_submission:
        yield FieldError("body.mechanisms", f"belong to kind submission, and this one is {listener.kind}")
    if listener.ciphers and listener.tls_minimum is TlsMinimum.TLS_1_3:
        yield FieldError("body.ciphers", "are those of TLS 1.2, which tls_minimum 1.3 leaves out")
    for other in others:
        if _collide(listener, other):
            yield FieldError("body.address", f"{listener.address} is taken by listener {other.name} ({other.address})")


def _collide(one: ListenerConfig, other: ListenerConfig) -> bool:
    """Tell whether both would have one address on one node."""
    if not (one.enabled and other.enabled and one.address and other.address):
        return False
    is_apart = bool(one.nodes and other.nodes) and set(one.nodes).isdisjoint(other.nodes)
    return not is_apart and Listen(one.address).overlaps(Listen(other.address))


def others_than(name: str, config: ListenersConfig) -> tuple[ListenerConfig, ...]:
    """Give the configured listeners but the one of that name."""
    return tuple(listener for listener in config.listeners if listener.name != name)
