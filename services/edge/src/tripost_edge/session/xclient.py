"""XCLIENT: a proxy says whom it speaks for (Postfix's XCLIENT_README); pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final

from tripost_edge.firewall.networks import plain_address
from tripost_edge.session import replies
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.xtext import NoXtext, from_xtext
from tripost_shared.networks import ZONE_SIGN

OFFER: Final = "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"

_UNKNOWN: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_IPV6: Final = "IPV6:"
_NAME: Final = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Announced:
    """What counts of an XCLIENT command. `address` None: it was not said; "": it is not known to the proxy either."""

    address: str | None = None
    port: int = 0


def parse_xclient(argument: str) -> Announced:
    """Read the attributes; raises PermanentFailure. All are checked, though only address and port count.

    Name and HELO are what filter looks up and the client says itself. A login is not taken over: who may use XCLIENT
    could be every user else, whose passwords, limits and rights edge would know nothing of.
    """
    values: dict[str, str] = {}
    for word in argument.split():
        name, equals, encoded = word.partition("=")
        name = name.upper()
        if not equals or name not in _READERS or name in values:
            raise _bad(f"attribute {name[:20]!r} is none, has no value, or comes twice")
        values[name] = _READERS[name](_decoded(encoded))
    if not values:
        raise _bad("no attribute")
    return Announced(values.get("ADDR"), int(values.get("PORT") or 0))


def _decoded(encoded: str) -> str:
    try:
        value = from_xtext(encoded)
    except NoXtext as error:
        raise _bad(str(error)) from error
    if not value:
        raise _bad("empty value")
    return "" if value.upper() in _UNKNOWN else value


def _address(value: str) -> str:
    """Give an address in its usual form; IPv6 has a prefix, IPv4 has none."""
    has_prefix = value[: len(_IPV6)].upper() == _IPV6
    text = value[len(_IPV6) :] if has_prefix else value
    try:
        if not value or ((ip_address(text).version == 6) is has_prefix and ZONE_SIGN not in text):
            return plain_address(text) if value else ""
    except ValueError as error:
        raise _bad("no address") from error
    raise _bad("no address")


def _port(value: str) -> str:
    if value and not (value.isascii() and value.isdigit() and len(value) <= 5 and 0 < int(value) < 65_536):
        raise _bad("no port")
    return value


def _protocol(value: str) -> str:
    if value and value.upper() not in {"SMTP", "ESMTP"}:
        raise _bad("no protocol")
    return value


def _name(value: str) -> str:
    if value and not _NAME.fullmatch(value):
        raise _bad("no name")
    return value


def _no_login(value: str) -> str:
    if value:
        raise _bad("a login is not taken over")
    return value


def _bad(because: str) -> PermanentFailure:
    return PermanentFailure(replies.BAD_XCLIENT, because=f"XCLIENT: {because}")


_READERS: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "NAME": _name,
        "ADDR": _address,
        "PORT": _port,
        "PROTO": _protocol,
        "HELO": _name,
        "LOGIN": _no_login,
        "DESTADDR": _address,
        "DESTPORT": _port,
    }
)
