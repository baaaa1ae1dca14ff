"""The two test patterns of the industry, so that refusals can be tried without a scanner."""

import asyncio
import binascii
import string
from collections.abc import Iterator
from typing import Final

from tripost_filter.check import MustWait, Stage
from tripost_filter.mail import Mail
from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.reply import SmtpReply

# Each is written in two parts, so that a scanner does not take this file for what it looks for.
EICAR: Final = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR" + b"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE: Final = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE" + b"-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

VIRUS_FOUND: Final = SmtpReply(554, "5.7.1", "Message refused: virus found")
SPAM_FOUND: Final = SmtpReply(554, "5.7.1", "Message refused as spam")
GTUBE_SCORE: Final = 1000.0  # what SpamAssassin gives it

_LONGEST_LABEL: Final = 64  # octets from the start of the line to "base64"; looking further back is quadratic work
_NOT_BASE64: Final = bytes(set(range(256)) - set(string.ascii_letters.encode() + string.digits.encode() + b"+/"))


class Patterns:
    """Refuse the EICAR anti-virus test file and the GTUBE anti-spam test text.

    Stage: message, for every client. Both are found in the octets as they are and in base64 MIME parts (RFC 2045 §6.8).
    """

    name = "patterns"
    stages = frozenset({Stage.MESSAGE})

    def examine_at_once(self, mail: Mail) -> Finding | None:
        """Look for the patterns; raises MustWait for a large message."""
        if mail.is_large:
            raise MustWait("large message")
        return self._search(mail.octets)

    async def examine(self, mail: Mail) -> Finding | None:
        """Look for the patterns, in a thread if the message is large."""
        if mail.is_large:
            return await asyncio.to_thread(self._search, mail.octets)
        return self._search(mail.octets)

    def _search(self, octets: bytes) -> Finding:
        gtube = GTUBE in octets
        for text in (octets, *_base64_parts(octets)):
            if EICAR in text:
                evidence = {"signature": "Eicar-Test-Signature"}
                return Finding(self.name, "virus", refuse_with=VIRUS_FOUND, evidence=evidence)
            gtube = gtube or GTUBE in text
        if gtube:
            evidence = {"signature": "GTUBE"}
            return Finding(self.name, "spam", GTUBE_SCORE, refuse_with=SPAM_FOUND, evidence=evidence)
        return Finding(self.name, "none")


def _base64_parts(octets: bytes) -> Iterator[bytes]:
    """Give the decoded text of each part that says to be base64; what is no base64 in it is passed over."""
    lower = octets.lower()
    position = lower.find(b"base64")
    while position >= 0:
        line_start = lower.rfind(b"\n", max(0, position - _LONGEST_LABEL), position) + 1
        resume = position + 6
        if lower.startswith(b"content-transfer-encoding", line_start):
            start = octets.find(b"\r\n\r\n", position)
            if start < 0:
                return
            end = octets.find(b"\r\n--", start)
            resume = len(octets) if end < 0 else end
            yield _decoded(octets[start:resume])
        position = lower.find(b"base64", resume)


def _decoded(text: bytes) -> bytes:
    packed = text.translate(None, _NOT_BASE64)
    surplus = len(packed) % 4
    if surplus == 1:  # no octet ends there
        packed, surplus = packed[:-1], 0
    return binascii.a2b_base64(packed + b"=" * (-surplus % 4))
