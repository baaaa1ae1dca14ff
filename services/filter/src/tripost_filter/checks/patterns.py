"""The two test patterns of the industry, so that refusals can be tried without a scanner."""

from collections.abc import Set
from typing import Final

from tripost_filter.base64_parts import Base64Parts
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
        search = Search()
        search.update(mail.octets)
        return self._finding(search.finish())

    async def examine(self, mail: Mail) -> Finding | None:
        """Look for the patterns, chunk by chunk."""
        search = Search()
        async for chunk in mail.chunks():
            search.update(chunk)
        return self._finding(search.finish())

    def _finding(self, found: Set[bytes]) -> Finding:
        if EICAR in found:
            evidence = {"signature": "Eicar-Test-Signature"}
            return Finding(self.name, "virus", refuse_with=VIRUS_FOUND, evidence=evidence)
        if GTUBE in found:
            evidence = {"signature": "GTUBE"}
            return Finding(self.name, "spam", GTUBE_SCORE, refuse_with=SPAM_FOUND, evidence=evidence)
        return Finding(self.name, "none")


class Search:
    """Looks for the patterns in a message that comes in pieces, wherever those end."""

    def __init__(self) -> None:
        self._found: set[bytes] = set()
        self._plain = _Text(self._found)
        self._decoded = _Text(self._found)
        self._parts = Base64Parts(self._decoded.restart, self._decoded.update)

    def update(self, octets: bytes) -> None:
        """Take the next piece."""
        self._plain.update(octets)
        self._parts.update(octets)

    def finish(self) -> Set[bytes]:
        """Give the patterns that were found, after the last piece."""
        self._parts.finish()
        return self._found


class _Text:
    """A text in which the patterns are looked for; of each piece as much is kept as may be the beginning of one."""

    def __init__(self, found: set[bytes]) -> None:
        self._found = found
        self._kept = b""

    def restart(self) -> None:
        self._kept = b""

    def update(self, octets: bytes) -> None:
        text = self._kept + octets
        for pattern in (EICAR, GTUBE):
            if pattern in text:
                self._found.add(pattern)
        self._kept = text[1 - len(EICAR) :]
