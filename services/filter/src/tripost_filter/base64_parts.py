"""The decoded text of base64 MIME parts (RFC 2045 §6.8), of a message that comes in pieces, without a MIME parse.

A part is what follows the next empty line after a `Content-Transfer-Encoding` field that says base64, and ends where a
line begins with two hyphens. What is no base64 in it is passed over. Work and memory are linear in a piece's length.
"""

import binascii
import string
from collections.abc import Callable
from enum import StrEnum
from typing import Final

_FIELD: Final = b"content-transfer-encoding"
_WORD: Final = b"base64"
_LONGEST_LABEL: Final = 64  # octets from the start of the line to "base64"; looking further back is quadratic work
_HEADER_END: Final = b"\r\n\r\n"
_PART_END: Final = b"\r\n--"
_NOT_BASE64: Final = bytes(set(range(256)) - set(string.ascii_letters.encode() + string.digits.encode() + b"+/"))


class _Seeking(StrEnum):
    FIELD = "field"
    HEADER_END = "header end"
    PART_END = "part end"


class Base64Parts:
    """Calls `begin` at the start of each part, and `take` with each run of its octets."""

    def __init__(self, begin: Callable[[], None], take: Callable[[bytes], None]) -> None:
        self._begin = begin
        self._take = take
        self._seeking = _Seeking.FIELD
        self._kept = b"\n"  # of the last piece, since it may be the beginning of what is sought
        self._seek_from = 1
        self._undecoded = b""  # less than four characters

    def update(self, octets: bytes) -> None:
        """Take the next piece."""
        text = self._kept + octets
        lower = text.lower()
        position: int | None = self._seek_from
        while position is not None:
            match self._seeking:
                case _Seeking.FIELD:
                    position = self._seek_field(text, lower, position)
                case _Seeking.HEADER_END:
                    position = self._seek_header_end(text, position)
                case _Seeking.PART_END:
                    position = self._seek_part_end(text, position)

    def finish(self) -> None:
        """Note that no piece follows."""
        if self._seeking is _Seeking.PART_END:
            self._decode(self._kept)
            self._end_part()

    def _seek_field(self, text: bytes, lower: bytes, position: int) -> int | None:
        found = lower.find(_WORD, position)
        while found >= 0:
            line_end = lower.rfind(b"\n", max(0, found - _LONGEST_LABEL), found)
            if line_end >= 0 and lower.startswith(_FIELD, line_end + 1):
                self._seeking = _Seeking.HEADER_END
                return found
            found = lower.find(_WORD, found + len(_WORD))
        self._keep(text, max(position, len(text) - len(_WORD) + 1), look_back=_LONGEST_LABEL)
        return None

    def _seek_header_end(self, text: bytes, position: int) -> int | None:
        found = text.find(_HEADER_END, position)
        if found < 0:
            self._keep(text, max(position, len(text) - len(_HEADER_END) + 1))
            return None
        self._seeking = _Seeking.PART_END
        self._begin()
        return found

    def _seek_part_end(self, text: bytes, position: int) -> int | None:
        found = text.find(_PART_END, position)
        if found < 0:
            end = max(position, len(text) - len(_PART_END) + 1)
            self._decode(text[position:end])
            self._keep(text, end)
            return None
        self._decode(text[position:found])
        self._end_part()
        self._seeking = _Seeking.FIELD
        return found

    def _keep(self, text: bytes, seek_from: int, look_back: int = 0) -> None:
        start = max(0, seek_from - look_back)
        self._kept = text[start:]
        self._seek_from = seek_from - start

    def _decode(self, text: bytes) -> None:
        packed = self._undecoded + text.translate(None, _NOT_BASE64)
        whole = len(packed) - len(packed) % 4
        self._undecoded = packed[whole:]
        if whole:
            self._take(binascii.a2b_base64(packed[:whole]))

    def _end_part(self) -> None:
        missing = -len(self._undecoded) % 4
        if missing in {1, 2}:  # of one character alone, no octet ends there
            self._take(binascii.a2b_base64(self._undecoded + b"=" * missing))
        self._undecoded = b""
