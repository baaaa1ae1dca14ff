"""What has arrived from the client and is not yet used: cut into lines, or taken as it is.

CRLF alone ends a line (RFC 5321 §2.3.8); a bare CR or LF is an octet like any other, so no client and server can
disagree about where a command ends.
"""

from typing import Final

from tripost_edge.session.command import MAX_AUTH_LINE_OCTETS

CRLF: Final = b"\r\n"


class LineTooLong(Exception):
    """A line was longer than any may be; it has been dropped up to its CRLF."""


class Inbox:
    """Octets in the order of arrival. `take_line` walks over them, so a burst of lines is not copied for each."""

    def __init__(self) -> None:
        self._octets = b""
        self._start = 0
        self._is_dropping = False

    def __len__(self) -> int:
        return len(self._octets) - self._start

    def append(self, octets: bytes) -> None:
        """Add what has arrived."""
        if self._start < len(self._octets):
            self._octets = self._octets[self._start :] + octets
        else:
            self._octets = octets
        self._start = 0

    def take_line(self) -> bytes | None:
        """Give the next line without its CRLF, None while it is not complete; raises LineTooLong at its end."""
        end = self._octets.find(CRLF, self._start)
        if end < 0:
            if len(self) > MAX_AUTH_LINE_OCTETS + 1:
                self._drop_the_beginning()
            return None
        line = self._octets[self._start : end]
        self._start = end + 2
        if self._is_dropping or len(line) > MAX_AUTH_LINE_OCTETS:
            self._is_dropping = False
            raise LineTooLong
        return line

    def next_line_begins(self, verb: bytes) -> bool:
        """Whether a whole line is at hand that begins with these octets, whatever their case."""
        start = self._start
        return (
            self._octets[start : start + len(verb)].upper() == verb
            and not self._is_dropping
            and self._octets.find(CRLF, start) >= 0
        )

    def peek(self, octets: int) -> bytes:
        """Look at the first octets without taking them."""
        return self._octets[self._start : self._start + octets]

    def skip(self, octets: int) -> None:
        """Leave out the first octets."""
        self._start += octets

    def take_all(self) -> bytes:
        """Take everything, unframed."""
        octets = self._octets[self._start :] if self._start else self._octets
        self._octets = b""
        self._start = 0
        return octets

    def put_back(self, octets: bytes) -> None:
        """Return what was taken and not used; it comes first again."""
        self._octets = octets + self._octets[self._start :]
        self._start = 0

    def _drop_the_beginning(self) -> None:
        self._is_dropping = True
        self._octets = b"\r" if self._octets.endswith(b"\r") else b""
        self._start = 0
