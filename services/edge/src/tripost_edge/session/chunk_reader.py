"""The chunks of BDAT on the wire (RFC 3030 §2): so many octets each, no dot-stuffing, no end mark."""

import re
from typing import Final, NamedTuple

from tripost_edge.session import replies
from tripost_edge.session.content_decoder import Fault
from tripost_shared.mail.failures import PermanentFailure

SMALL_OCTETS: Final = 1024  # of a chunk that is worth no command of its own; the last one may be as small as it is

_ARGUMENT: Final = re.compile(r"([0-9]{1,15})(?:[ \t]+(LAST))?", re.IGNORECASE | re.ASCII)


class Chunk(NamedTuple):
    """What a BDAT command announces."""

    size_octets: int
    is_last: bool

    @property
    def is_small(self) -> bool:
        """Whether it has little, though more is to come."""
        return self.size_octets < SMALL_OCTETS and not self.is_last


def announces_chunk(line: str) -> bool:
    """Whether some reader may take a command line for a BDAT, whatever is wrong with it: octets of a chunk follow."""
    return line.lstrip()[:4].upper() == "BDAT"


def parse_chunk(argument: str) -> Chunk:
    """Read `size [LAST]`; raises PermanentFailure: then nobody can tell where the next command begins."""
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        raise PermanentFailure(replies.BAD_CHUNK, because="malformed BDAT")
    return Chunk(int(match[1]), match[2] is not None)


class ChunkReader:
    """Takes the octets of one chunk after the other, in whatever pieces they come; gives the content.

    Has the faults of DATA's content, though CRLF may be cut by the end of a chunk: one octet may be kept back for that.
    Content that does not end in CRLF gets it, as it could not be passed on by DATA otherwise.
    """

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.is_complete = True  # the chunk at hand
        self.left_octets = 0  # of it
        self.rest = b""  # always: it is given no more than belongs to the chunk
        self._is_last = False
        self._held = b""  # a CR whose LF may still come
        self._end = b""  # up to two octets of what was given last

    def begin(self, chunk: Chunk) -> None:
        """Expect a chunk."""
        self.left_octets = chunk.size_octets
        self._is_last = chunk.is_last
        self.is_complete = False

    def feed(self, octets: bytes) -> bytes:
        """Take the next octets of the chunk, no more than are left; gives content (b"" after a fault)."""
        self.left_octets -= len(octets)
        self.is_complete = self.left_octets == 0
        is_end = self.is_complete and self._is_last
        piece = self._held + octets
        self._held = b""
        if piece.endswith(b"\r") and not is_end:
            piece, self._held = piece[:-1], b"\r"
        return self._released(piece, is_end=is_end)

    def _released(self, piece: bytes, *, is_end: bool) -> bytes:
        """Look for faults, and end the last line."""
        if self.fault is not None:
            return b""
        line_ends = piece.count(b"\r\n")
        if piece.count(b"\n") != line_ends or piece.count(b"\r") != line_ends:
            self.fault = Fault.BARE_LINE_END
        elif b"\0" in piece:
            self.fault = Fault.NUL
        if self.fault is not None:
            return b""
        self._end = (self._end + piece[-2:])[-2:]
        return piece + b"\r\n" if is_end and self._end not in (b"", b"\r\n") else piece
