"""Header fields as octets (RFC 5322 §2.2), without a MIME parse."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

_FIELD_NAME: Final = re.compile(rb"[\x21-\x39\x3b-\x7e]+")
_END_OF_FIELD: Final = re.compile(rb"\r\n(?![ \t])")
# C0 and C1 controls, line and paragraph separators; the marks that turn the direction of writing (UAX #9 §2), by which
# a text shows itself as another one; surrogates, which no encoder takes.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
FOLD_AT_COLUMN: Final = 78  # RFC 5322 §2.1.1


def split_message(octets: bytes) -> tuple[bytes, bytes]:
    """Give the header with the CRLF of its last field, and the body after the empty line."""
    if octets.startswith(b"\r\n"):
        return b"", octets[2:]
    end = octets.find(b"\r\n\r\n")
    if end < 0:
        return octets, b""
    return octets[: end + 2], octets[end + 4 :]


def fields(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give each field as (name as written, raw value after the colon, folds and final CRLF kept).

    A line that is no field (no colon, or a bad name) is given with an empty name.
    """
    for raw in raw_fields(header):
        name, colon, value = raw.partition(b":")
        stripped = name.rstrip(b" \t")
        if colon and _FIELD_NAME.fullmatch(stripped):
            yield stripped, value
        else:
            yield b"", raw


def raw_fields(header: bytes) -> Iterator[bytes]:
    """Give each field whole: its first line and the folded ones after it, CRLF included."""
    start = 0
    for end in _END_OF_FIELD.finditer(header):
        yield header[start : end.end()]
        start = end.end()
    if start < len(header):
        yield header[start:]


def values(header: bytes, name: str) -> list[bytes]:
    """Give the raw values of all fields of that name, first one first."""
    wanted = name.lower().encode("ascii")
    return [value for field, value in fields(header) if field.lower() == wanted]


def unfold(value: bytes) -> bytes:
    """Undo folding (RFC 5322 §2.2.3) and strip white space at both ends."""
    return value.replace(b"\r\n", b"").strip(b" \t")


def printable(text: str) -> str:
    """Make any text safe for one header line, log line or line on a terminal.

    Controls, line separators, marks of writing direction and surrogates become `?`.
    """
    if text.isascii() and text.isprintable():  # nearly always, and quicker than a search
        return text
    return _UNSAFE.sub("?", text)


def is_printable(text: str) -> bool:
    """Whether `printable` would leave the text as it is."""
    return _UNSAFE.search(text) is None


def fold(name: str, words: Iterable[str]) -> bytes:
    """Write a field from words, a folded line begun where the next word would pass column 78; CRLF at the end.

    The words are made printable, so that nothing a client said can begin another field.
    """
    return f"{fold_on(f'{name}:', words)}\r\n".encode()


def fold_on(begun: str, words: Iterable[str]) -> str:
    """Write more words to a field that is begun, as `fold` does; no CRLF at the end, so it can go on again."""
    column = len(begun) - begun.rfind("\n") - 1
    for word in map(printable, words):
        if column + 1 + len(word) > FOLD_AT_COLUMN and column > 1:  # no line of white space alone
            begun += "\r\n\t" + word
            column = 1 + len(word)
        else:
            begun += " " + word
            column += 1 + len(word)
    return begun
