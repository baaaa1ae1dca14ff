"""The content of DATA on the wire: dot-stuffing, and its end (RFC 5321 §4.1.1.4, §4.5.2)."""

from enum import StrEnum
from typing import Final

_END: Final = b"\r\n.\r\n"
_BEGINNINGS_OF_END: Final = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


class Fault(StrEnum):
    """Octets that no message may have."""

    BARE_LINE_END = "bare CR or LF"
    NUL = "NUL octet"


class ContentDecoder:
    """Takes the octets after 354 in whatever pieces they come; gives the content, dots removed.

    The content ends at CRLF.CRLF and nowhere else. After a fault the rest is read to that end and thrown away, so
    that no octet of a refused message is ever taken for a command. Keeps at most four octets back between pieces.
    """

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.is_complete = False
        self.rest = b""  # what came after the end
        self._held = b"\r\n"  # as if the line before the content had just ended: a dot may be its first octet
        self._invented = 2  # octets of `_held` that the client did not send

    def feed(self, octets: bytes) -> bytes:
        """Take the next octets; gives what of the content is certain by now (b"" after a fault)."""
        octets = self._held + octets
        end = octets.find(_END)
        if end >= 0:
            self.is_complete = True
            self.rest = octets[end + len(_END) :]
            return self._released(octets[: end + 2])
        self._held = b""
        for beginning in _BEGINNINGS_OF_END:
            if octets.endswith(beginning):
                self._held = beginning
                break
        return self._released(octets[: -len(self._held)] if self._held else octets)

    def _released(self, piece: bytes) -> bytes:
        """Undo the dot-stuffing of a piece that cuts through no CRLF, and look for faults."""
        if not piece or self.fault is not None:
            return b""
        without_line_ends = piece.replace(b"\r\n", b"")  # half the time of counting CR, LF and CRLF
        if b"\n" in without_line_ends or b"\r" in without_line_ends:
            self.fault = Fault.BARE_LINE_END
            return b""
        if b"\0" in piece:
            self.fault = Fault.NUL
            return b""
        if b"\r\n." in piece:
            piece = piece.replace(b"\r\n.", b"\r\n")
        if self._invented:
            piece = piece[self._invented :]
            self._invented = 0
        return piece
