"""The body of a message on its way into a hash (RFC 6376 §3.4.3, §3.4.4, §3.7), piece by piece with bounded memory."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from tripost_filter.dkim.canonical import Form, with_single_spaces

BodyPart = tuple[Form, int | None]  # a canonical form, and how many octets of it count (`l=`; None: all)

_EMPTY_LINES: Final = 8192  # that are hashed at a time


class CanonicalBody:
    """Gives the canonical form of a body that comes in pieces, wherever those end.

    Held back until the next piece are empty lines, as a number, since the last ones do not count, and octets whose
    canonical form depends on what follows: a CR that may begin a line end, and white space that may stand before one.
    """

    def __init__(self, form: Form) -> None:
        self._is_relaxed = form is Form.RELAXED
        self._held = b""
        self._line_ends = 0
        self._has_text = False

    def update(self, octets: bytes) -> Iterator[bytes]:
        """Give what is certain with this piece."""
        octets = self._held + octets
        self._held = b""
        if self._is_relaxed:
            octets = with_single_spaces(octets.replace(b"\t", b" ")).replace(b" \r\n", b"\r\n")
        for undecided in (b" \r", b"\r", b" ") if self._is_relaxed else (b"\r",):
            if octets.endswith(undecided):
                self._held = undecided
                octets = octets[: -len(undecided)]
                break
        text, line_ends = _without_last_line_ends(octets)
        if text:
            yield from self._text(text)
        self._line_ends += line_ends

    def finish(self) -> Iterator[bytes]:
        """Give the rest; the whole ends with one CRLF, or is empty in the relaxed form."""
        if self._held.endswith(b"\r"):
            yield from self._text(self._held)
        if self._has_text or not self._is_relaxed:
            yield b"\r\n"

    def _text(self, text: bytes) -> Iterator[bytes]:
        while self._line_ends:
            count = min(self._line_ends, _EMPTY_LINES)
            yield b"\r\n" * count
            self._line_ends -= count
        self._has_text = True
        yield text


class BodyHasher:
    """SHA-256 of the parts of a body that signatures sign, in one pass."""

    def __init__(self, parts: Iterable[BodyPart]) -> None:
        self._by_form: dict[Form, _FormHasher] = {}
        for form, length in parts:
            self._by_form.setdefault(form, _FormHasher(form)).add_part(length)

    def update(self, octets: bytes) -> None:
        """Take the next piece of the body as it is in the message."""
        for hasher in self._by_form.values():
            hasher.update(octets)

    def finish(self) -> None:
        """Note that the body is complete; no hash or size means anything before."""
        for hasher in self._by_form.values():
            hasher.finish()

    def digest(self, part: BodyPart) -> bytes:
        """Give the hash of one of the parts."""
        return self._by_form[part[0]].digests[part[1]].digest()

    def size_octets(self, form: Form) -> int:
        """Give the length of the whole body in that canonical form."""
        return self._by_form[form].size_octets


class _FormHasher:
    """The parts of one canonical form."""

    def __init__(self, form: Form) -> None:
        self._canonical = CanonicalBody(form)
        self.size_octets = 0
        self.digests: dict[int | None, hashlib._Hash] = {}

    def add_part(self, length: int | None) -> None:
        self.digests.setdefault(length, hashlib.sha256())

    def update(self, octets: bytes) -> None:
        self._take(self._canonical.update(octets))

    def finish(self) -> None:
        self._take(self._canonical.finish())

    def _take(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            for length, digest in self.digests.items():
                if length is None:
                    digest.update(piece)
                elif self.size_octets < length:
                    digest.update(piece[: length - self.size_octets])
            self.size_octets += len(piece)


def _without_last_line_ends(octets: bytes) -> tuple[bytes, int]:
    """Take the line ends off the end; gives their number, too."""
    text = octets.rstrip(b"\r\n")
    ends = octets[len(text) :]
    count = len(ends) // 2
    if ends != b"\r\n" * count:  # a bare CR or LF in it counts as text
        marked = ends.replace(b"\r\n", b"\0")
        count = len(marked) - len(marked.rstrip(b"\0"))
        text = octets[: len(octets) - 2 * count]
    return text, count
