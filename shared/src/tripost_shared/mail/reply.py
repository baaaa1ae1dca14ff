"""SMTP replies with enhanced status codes (RFC 5321 §4.2, RFC 2034, RFC 3463)."""

from typing import Final

import msgspec

from tripost_shared.mail.header import printable

MAX_LINE_OCTETS: Final = 512  # RFC 5321 §4.5.3.1.5, CRLF included
MAX_CHALLENGE_OCTETS: Final = 12_288  # RFC 4954 §4


class SmtpReply(msgspec.Struct, frozen=True):
    """What a client sees: `code` 200–599, `enhanced` such as "5.1.1" ("" for none), `text` of one or more lines."""

    code: int
    enhanced: str
    text: str

    @property
    def is_positive(self) -> bool:
        """Whether the command was done or may go on (2yz, 3yz)."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """Whether trying again later may help (4yz)."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Whether trying again is pointless (5yz)."""
        return self.code >= 500

    def lines(self) -> list[str]:
        """Give the reply lines without CRLF, the enhanced code on each (RFC 2034 §4)."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        texts = self.text.splitlines() or [""]
        last = len(texts) - 1
        return [f"{self.code}{' ' if number == last else '-'}{prefix}{text}" for number, text in enumerate(texts)]

    def encoded(self) -> bytes:
        """Give the octets for the wire, CRLF at the end of each line.

        Texts of others (a policy's explanation from the DNS) may be in it: what is not printable ASCII becomes `?`, and
        lines are cut where a client need read no further: later in a SASL challenge, which would be another one.
        """
        most = MAX_CHALLENGE_OCTETS if self.code == 334 else MAX_LINE_OCTETS
        lines = [printable(line)[: most - 2] for line in self.lines()]
        return ("\r\n".join(lines) + "\r\n").encode("ascii", "replace")

    def with_id(self, identifier: str) -> "SmtpReply":
        """Append the id by which an operator finds this in the tracking."""
        return SmtpReply(self.code, self.enhanced, f"{self.text} ({identifier})")

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


TRY_LATER = SmtpReply(451, "4.3.0", "Temporary failure, please try again later")
