"""SMTP replies with enhanced status codes (RFC 5321 §4.2, RFC 2034, RFC 3463)."""

import msgspec


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
        """Give the octets for the wire, CRLF at the end of each line."""
        return ("\r\n".join(self.lines()) + "\r\n").encode("utf-8", "replace")

    def with_id(self, identifier: str) -> "SmtpReply":
        """Append the id by which an operator finds this in the tracking."""
        return SmtpReply(self.code, self.enhanced, f"{self.text} ({identifier})")

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


TRY_LATER = SmtpReply(451, "4.3.0", "Temporary failure, please try again later")
