"""Replies of a next hop: from octets to values (RFC 5321 §4.2, RFC 2034), bounded and made safe; pure."""

import re
from typing import Final

import msgspec

from tripost_shared.mail.header import printable
from tripost_shared.mail.reply import SmtpReply

MAX_LINE_OCTETS: Final = 4096  # RFC 5321 §4.5.3.1.5 says 512; some say more
MAX_LINES: Final = 128
MAX_TEXT: Final = 600  # characters that we keep for the queue, the trace and the DSN

_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|$)")


class MalformedReply(Exception):
    """What came is no SMTP reply; the message says why."""


class RemoteReply(msgspec.Struct, frozen=True):
    """A reply as it came: `lines` are the texts without code, decoded as UTF-8 with replacement."""

    code: int
    lines: tuple[str, ...]

    def summary(self) -> SmtpReply:
        """Give it on one line, printable and of bounded length, its enhanced code apart.

        An enhanced code of another class than the reply's code is not taken for one (RFC 2034 §4).
        """
        first = _ENHANCED.match(self.lines[0]) if self.lines else None
        enhanced = first[0] if first is not None and first[1] == str(self.code)[0] else ""
        texts = (line.removeprefix(enhanced).strip() if enhanced else line.strip() for line in self.lines)
        return SmtpReply(self.code, enhanced, printable(" ".join(text for text in texts if text))[:MAX_TEXT])


class ReplyParser:
    """Collects octets and gives whole replies."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._code = 0
        self._lines: list[str] = []

    @property
    def unread_octets(self) -> int:
        """How much has come that belongs to no reply given yet."""
        return len(self._octets)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come since the last reply that was given."""
        return not self._octets and not self._lines

    @property
    def unread(self) -> bytes:
        """The beginning of what has come since the last reply that was given, without the lines of one begun."""
        return bytes(self._octets[:80])

    def feed(self, octets: bytes) -> None:
        """Take what has come."""
        self._octets += octets

    def next(self) -> RemoteReply | None:
        """Give the next reply, or None when it is not complete yet; raises MalformedReply."""
        while True:
            end = self._octets.find(b"\n")
            if end > MAX_LINE_OCTETS or (end < 0 and len(self._octets) > MAX_LINE_OCTETS):
                raise MalformedReply(f"a reply line longer than {MAX_LINE_OCTETS} octets")
            if end < 0:
                return None
            line = bytes(self._octets[:end]).removesuffix(b"\r")
            del self._octets[: end + 1]
            if self._add(line):
                reply = RemoteReply(self._code, tuple(self._lines))
                self._code, self._lines = 0, []
                return reply

    def _add(self, line: bytes) -> bool:
        """Take a line; tells whether it ends the reply."""
        match = _LINE.fullmatch(line)
        if match is None:
            raise MalformedReply(f"no SMTP reply: {line[:80]!r}")
        code = int(match[1])
        if self._lines and code != self._code:
            raise MalformedReply(f"lines of one reply with the codes {self._code} and {code}")
        if len(self._lines) >= MAX_LINES:
            raise MalformedReply(f"a reply of more than {MAX_LINES} lines")
        self._code = code
        self._lines.append((match[3] or b"").decode("utf-8", "replace"))
        return match[2] != b"-"


def parse_capabilities(reply: RemoteReply) -> dict[str, str]:
    """Read the reply to EHLO: keywords in upper case with their parameters (RFC 5321 §4.1.1.1)."""
    pairs = (line.partition(" ") for line in reply.lines[1:])
    return {keyword.upper(): parameters.strip() for keyword, _, parameters in pairs if keyword}
