"""Canonical forms (RFC 6376 §3.4) and that of header fields, by operations that run in C on the whole text."""

from enum import StrEnum


class Form(StrEnum):
    """A canonicalization algorithm."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def canonical_field(raw: bytes, form: Form) -> bytes:
    """Give a header field as it is hashed (§3.4.1, §3.4.2); `raw` holds the whole field, CRLF included."""
    if form is Form.SIMPLE:
        return raw
    name, _, value = raw.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + _relaxed_value(value) + b"\r\n"


def _relaxed_value(value: bytes) -> bytes:
    if b"\x0b" in value or b"\x0c" in value:  # split() takes them for white space, RFC 6376 does not
        value = with_single_spaces(value.replace(b"\r\n", b"").replace(b"\t", b" "))
        return value.strip(b" ")
    return b" ".join(value.split())


def with_single_spaces(text: bytes) -> bytes:
    """Shorten each run of spaces to one."""
    while b"  " in text:  # each round halves the longest run
        text = text.replace(b"  ", b" ")
    return text
