"""Canonical forms of header and body (RFC 6376 §3.4), by operations that run in C on the whole text."""

from enum import StrEnum


class Form(StrEnum):
    """A canonicalization algorithm."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def canonical_body(body: bytes, form: Form) -> bytes:
    """Give the body as it is hashed (§3.4.3, §3.4.4)."""
    if form is Form.RELAXED:
        body = _without_surplus_white_space(body)
    stripped = body.rstrip(b"\r\n")
    tail = body[len(stripped) :]
    if tail != b"\r\n" * (len(tail) // 2):  # a bare CR or LF in it counts as text
        stripped = _without_last_empty_lines(body)
    if not stripped:
        return b"" if form is Form.RELAXED else b"\r\n"
    return stripped + b"\r\n"


def canonical_field(raw: bytes, form: Form) -> bytes:
    """Give a header field as it is hashed (§3.4.1, §3.4.2); `raw` holds the whole field, CRLF included."""
    if form is Form.SIMPLE:
        return raw
    name, _, value = raw.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + _relaxed_value(value) + b"\r\n"


def _relaxed_value(value: bytes) -> bytes:
    if b"\x0b" in value or b"\x0c" in value:  # split() takes them for white space, RFC 6376 does not
        value = _with_single_spaces(value.replace(b"\r\n", b"").replace(b"\t", b" "))
        return value.strip(b" ")
    return b" ".join(value.split())


def _without_surplus_white_space(body: bytes) -> bytes:
    body = _with_single_spaces(body.replace(b"\t", b" ")).replace(b" \r\n", b"\r\n")
    return body.removesuffix(b" ")


def _with_single_spaces(text: bytes) -> bytes:
    while b"  " in text:  # each round halves the longest run
        text = text.replace(b"  ", b" ")
    return text


def _without_last_empty_lines(body: bytes) -> bytes:
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[:end]
