"""DKIM-Signature fields (RFC 6376 §3.5)."""

import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tripost_filter.dkim.body import BodyPart
from tripost_filter.dkim.canonical import Form
from tripost_filter.dkim.tags import InvalidTags, colon_separated, parse_tags, without_white_space
from tripost_shared.mail.address import InvalidAddress, normalise_domain

_REQUIRED: Final = ("v", "a", "b", "bh", "d", "h", "s")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_FORMS: Final = {f"{header}/{body}": (header, body) for header in Form for body in Form}
MAX_SIGNED_FIELDS: Final = 1000  # as many as are read of a message
_LONGEST_DOMAIN: Final = 1024  # characters: 253 octets in any spelling; IDNA takes its time with what is longer
_NUMBER: Final = re.compile(r"[0-9]{1,76}")  # RFC 6376 §3.5 on l=


@dataclass(frozen=True, slots=True)
class Signature:
    """What a DKIM-Signature field says, made valid.

    Domains are in lower-case A-labels. `signed_fields` are names in lower case, in the order of `h=`. `identity_domain`
    is that of `i=`. `length_octets` is None without `l=`; times are seconds since 1970.
    """

    raw: bytes  # the whole field
    algorithm: str
    domain: str
    selector: str
    identity_domain: str
    header_form: Form
    body_form: Form
    signed_fields: tuple[str, ...]
    body_hash: bytes
    value: bytes
    value_text: str
    length_octets: int | None
    signed_at: int | None
    expires_at: int | None

    @property
    def key_name(self) -> str:
        """The DNS name of the key record."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def body_part(self) -> BodyPart:
        """What of the body is signed."""
        return self.body_form, self.length_octets


def read_tags(raw: bytes) -> dict[str, str]:
    """Read the tag list of a whole DKIM-Signature field. Raises InvalidTags."""
    try:
        return parse_tags(raw.partition(b":")[2].decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidTags("not UTF-8") from error


def read_signature(raw: bytes, tags: dict[str, str]) -> Signature:
    """Check a signature's tags (RFC 6376 §6.1.1). Raises InvalidTags."""
    for name in _REQUIRED:
        if not tags.get(name):
            raise InvalidTags(f"no {name}=")
    if tags["v"] != "1":
        raise InvalidTags("unknown version")
    if "q" in tags and "dns/txt" not in colon_separated(tags["q"]):
        raise InvalidTags("unknown query method")
    if tags["h"].count(":") >= MAX_SIGNED_FIELDS:
        raise InvalidTags("too many names in h=")
    domain = _domain(tags["d"])
    header_form, body_form = _forms(tags.get("c", "simple/simple"))
    value_text = without_white_space(tags["b"])
    signed_at, expires_at = _number(tags, "t"), _number(tags, "x")
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise InvalidTags("x= is not after t=")
    return Signature(
        raw=raw,
        algorithm=tags["a"],
        domain=domain,
        selector=_domain(tags["s"]),
        identity_domain=_identity_domain(tags.get("i"), domain),
        header_form=header_form,
        body_form=body_form,
        signed_fields=tuple(colon_separated(tags["h"])),
        body_hash=_base64(tags, "bh"),
        value=_base64(tags, "b"),
        value_text=value_text,
        length_octets=_number(tags, "l"),
        signed_at=signed_at,
        expires_at=expires_at,
    )


def _domain(text: str) -> str:
    if len(text) > _LONGEST_DOMAIN:
        raise InvalidTags("domain is too long")
    return _normalised(text)


@lru_cache(maxsize=4096)
def _normalised(text: str) -> str:
    try:
        domain = normalise_domain(text)
    except InvalidAddress as error:
        raise InvalidTags(str(error)) from error
    if domain.startswith("["):
        raise InvalidTags("address literal for a domain")
    return domain


def _identity_domain(text: str | None, domain: str) -> str:
    if text is None:
        return domain
    _, at, identity_domain = text.rpartition("@")
    if not at:
        raise InvalidTags("malformed i=")
    identity_domain = _domain(identity_domain)
    if identity_domain != domain and not identity_domain.endswith("." + domain):
        raise InvalidTags("i= is not under d=")
    return identity_domain


def _forms(text: str) -> tuple[Form, Form]:
    forms = _FORMS.get(text)
    if forms is not None:
        return forms
    header, _, body = text.partition("/")
    try:
        return Form(header.strip()), Form(body.strip() or "simple")
    except ValueError as error:
        raise InvalidTags("unknown canonicalization") from error


def _base64(tags: dict[str, str], name: str) -> bytes:
    text = without_white_space(tags[name])
    if not _BASE64.fullmatch(text):
        raise InvalidTags(f"malformed {name}=")
    try:
        return binascii.a2b_base64(text)
    except binascii.Error as error:
        raise InvalidTags(f"malformed {name}=") from error


def _number(tags: dict[str, str], name: str) -> int | None:
    if name not in tags:
        return None
    if not _NUMBER.fullmatch(tags[name]):
        raise InvalidTags(f"malformed {name}=")
    return int(tags[name])
