"""Mail addresses and paths (RFC 5321 §4.1.2, §4.1.3; RFC 6531 for UTF-8; RFC 5890 for domains)."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import idna

from tripost_shared.mail.header import is_printable

MAX_LOCAL_PART_OCTETS: Final = 64  # RFC 5321 §4.5.3.1.1
MAX_DOMAIN_OCTETS: Final = 255  # RFC 5321 §4.5.3.1.2
MAX_PATH_OCTETS: Final = 256  # RFC 5321 §4.5.3.1.3, the angle brackets included

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_STRING: Final = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED_STRING: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*)"')
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?"
_ASCII_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SOURCE_ROUTE: Final = re.compile(r"@[^@:<>\s]+(?:,@[^@:<>\s]+)*:")
_LITERAL: Final = re.compile(r"\[(?:IPv6:([0-9A-Fa-f:.]+)|([0-9.]+))\]", re.IGNORECASE)


class InvalidAddress(ValueError):
    """The text is no mailbox address; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox address, its local part without quotes and escapes, its domain in lower-case A-labels.

    An address literal keeps its brackets: `[192.0.2.1]`, `[IPv6:2001:db8::1]`. The bare `<postmaster>` has domain "".
    """

    local_part: str
    domain: str

    @staticmethod
    def parse(text: str) -> "Address":
        """Read `local-part@domain` (RFC 5321 `Mailbox`), without angle brackets; raises InvalidAddress."""
        return _parse(text)

    @property
    def key(self) -> str:
        """The form in which addresses are compared and stored: as `str`, the local part folded.

        It may have more than MAX_LOCAL_PART_OCTETS, and be no address then: some letters grow when they are folded.
        """
        return f"{_rendered(folded(self.local_part))}@{self.domain}" if self.domain else folded(self.local_part)

    def __str__(self) -> str:
        return f"{_rendered(self.local_part)}@{self.domain}" if self.domain else _rendered(self.local_part)


def folded(text: str) -> str:
    """Give the form in which local parts are compared: in lower case, and composed (NFC, RFC 6532 §3.1).

    What looks alike is one name then, whether a program writes an accent with its letter or after it. Folded twice is
    folded once.
    """
    lowered = text.lower()
    return lowered if lowered.isascii() else unicodedata.normalize("NFC", lowered)


def parse_path(text: str) -> Address | None:
    """Read the inside of `<…>`: None for the null reverse-path, a source route dropped (RFC 5321 §4.1.1.3, App. C).

    `postmaster` without a domain is taken (§4.5.1). Raises InvalidAddress.
    """
    if not text:
        return None
    if text.startswith("@"):
        route = _SOURCE_ROUTE.match(text)
        if route is None:
            raise InvalidAddress("malformed source route")
        text = text[route.end() :]
    if text.lower() == "postmaster":
        return Address(text, "")
    return _parse(text)


def normalise_domain(text: str) -> str:
    """Give a domain in lower-case A-labels, without a trailing dot; raises InvalidAddress."""
    return _domain(text.removesuffix("."))


def u_labels(domain: str) -> str:
    """Give a domain as people write it: its A-labels (`xn--…`) as U-labels (RFC 5890 §2.3.2.1), all else as it is."""
    return ".".join(_u_label(label) for label in domain.split("."))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address:
    if not is_printable(text):
        raise InvalidAddress("control character in address")
    if text.startswith('"'):
        quoted = _QUOTED_STRING.match(text)
        if quoted is None:
            raise InvalidAddress("malformed quoted local part")
        local_part = re.sub(r"\\(.)", r"\1", quoted.group(1))
        rest = text[quoted.end() :]
    else:
        plain = _DOT_STRING.match(text)
        if plain is None:
            raise InvalidAddress("malformed local part")
        local_part, rest = plain.group(), text[plain.end() :]
    if not rest.startswith("@"):
        raise InvalidAddress("no domain" if not rest else "malformed local part")
    if len(local_part.encode()) > MAX_LOCAL_PART_OCTETS:
        raise InvalidAddress(f"local part longer than {MAX_LOCAL_PART_OCTETS} octets")
    return Address(local_part, _domain(rest[1:]))


def _domain(text: str) -> str:
    if text.startswith("["):
        return _literal(text)
    if not text.isascii():
        if len(text) > MAX_DOMAIN_OCTETS:  # no A-labels are shorter
            raise InvalidAddress(f"domain longer than {MAX_DOMAIN_OCTETS} octets")
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise InvalidAddress("malformed internationalised domain") from error
    if len(text) > MAX_DOMAIN_OCTETS:
        raise InvalidAddress(f"domain longer than {MAX_DOMAIN_OCTETS} octets")
    if not _ASCII_DOMAIN.fullmatch(text) or any(len(label) > 63 for label in text.split(".")):  # RFC 1035 §2.3.4
        raise InvalidAddress("malformed domain")
    return text.lower()


def _u_label(label: str) -> str:
    if not label.lower().startswith("xn--"):
        return label
    try:
        return idna.ulabel(label)
    except (idna.IDNAError, UnicodeError):
        return label


def _literal(text: str) -> str:
    """Check an address literal (RFC 5321 §4.1.3) and give its canonical spelling."""
    match = _LITERAL.fullmatch(text)
    if match is None:
        raise InvalidAddress("malformed address literal")
    try:
        return f"[IPv6:{IPv6Address(match[1])}]" if match[1] else f"[{IPv4Address(match[2])}]"
    except ValueError as error:
        raise InvalidAddress("malformed address literal") from error


def _rendered(local_part: str) -> str:
    if _DOT_STRING.fullmatch(local_part):
        return local_part
    return '"' + re.sub(r'(["\\])', r"\\\1", local_part) + '"'
