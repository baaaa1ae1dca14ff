"""Dot-stuffing on octets (RFC 5321 §4.5.2); pure."""

from typing import Final

CRLF: Final = b"\r\n"


class DotStuffer:
    """Doubles each dot that begins a line, in content that comes in pieces; changes nothing else."""

    def __init__(self) -> None:
        self._tail = CRLF  # the last octets so far; the content begins a line

    def feed(self, octets: bytes) -> bytes:
        """Give the piece as it goes over the wire."""
        if not octets:
            return b""
        joined = self._tail + octets
        stuffed = joined.replace(b"\r\n.", b"\r\n..")[len(self._tail) :]
        self._tail = joined[-2:]
        return stuffed

    def end(self) -> bytes:
        """Give the end of the content: the final dot, on a line of its own."""
        return b".\r\n" if self._tail == CRLF else b"\r\n.\r\n"
