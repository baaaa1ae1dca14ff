"""What has arrived from the client and is not yet used: cut into lines, or taken as it is.

CRLF alone ends a line (RFC 5321 §2.3.8); a bare CR or LF is an octet like any other, so no client and server can
disagree about where a command ends.
"""

from typing import Final

from tripost_edge.session.command import MAX_AUTH_LINE_OCTETS

CRLF: Final = b"\r\n"
KEPT_OCTETS: Final = 16  # of the beginning of a line that is too long
MAX_EXCESS_OCTETS: Final = 64 * 1024  # of a line that is too long, which are dropped in the hope of its CRLF


class LineTooLong(Exception):
    """A line was longer than any may be; it has been dropped up to its CRLF, but for what it begins with."""

    def __init__(self, beginning: bytes) -> None:
        super().__init__()
        self.beginning = beginning


class EndlessLine(Exception):
    """A line goes on far beyond what any may have: whoever sends it speaks no SMTP."""


class Inbox:
    """Octets in the order of arrival. `take_line` walks over them, so a burst of lines is not copied for each."""

    def __init__(self) -> None:
        self._octets = b""
        self._start = 0
        self._dropped_octets = 0  # of the line at hand, which is too long
        self._beginning = b""  # of that line

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
        """Give the next line without its CRLF, None while it is not complete.

        Raises LineTooLong at the end of one that is, EndlessLine when that does not come.
        """
        octets, start = self._octets, self._start
        end = octets.find(CRLF, start)
        size_octets = self._dropped_octets + (len(octets) if end < 0 else end) - start
        if size_octets > MAX_AUTH_LINE_OCTETS + MAX_EXCESS_OCTETS:
            raise EndlessLine
        if end < 0:
            if size_octets > MAX_AUTH_LINE_OCTETS + 1:
                self._drop_the_beginning()
            return None
        line = octets[start:end]
        self._start = end + 2
        if size_octets > MAX_AUTH_LINE_OCTETS:
            beginning = self._beginning if self._dropped_octets else line[:KEPT_OCTETS]
            self._dropped_octets = 0
            raise LineTooLong(beginning)
        return line

    def next_line_begins(self, verb: bytes) -> bool:
        """Whether a whole line is at hand that begins with these octets, whatever their case."""
        start = self._start
        return (
            self._octets[start : start + len(verb)].upper() == verb
            and not self._dropped_octets
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

    def take(self, at_most: int) -> bytes:
        """Take so many octets, or as many as there are, unframed."""
        octets = self._octets[self._start : self._start + at_most]
        self._start += len(octets)
        return octets

    def put_back(self, octets: bytes) -> None:
        """Return what was taken and not used; it comes first again."""
        self._octets = octets + self._octets[self._start :]
        self._start = 0

    def _drop_the_beginning(self) -> None:
        if not self._dropped_octets:
            self._beginning = self.peek(KEPT_OCTETS)
        kept = b"\r" if self._octets.endswith(b"\r") else b""
        self._dropped_octets += len(self) - len(kept)
        self._octets = kept
        self._start = 0
