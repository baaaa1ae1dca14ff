"""Sanity of the header: what RFC 5322 asks of every message."""

from typing import Final

from tripost_filter.check import Stage
from tripost_filter.mail import MAX_FIELDS, MAX_HEADER_OCTETS, Mail
from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.reply import SmtpReply

HEADER_TOO_LARGE: Final = SmtpReply(554, "5.6.0", "Message header is too large")

# RFC 5322 §3.6: fields that occur once at most, in the order in which they are named
SINGLE_BUT_FROM: Final = tuple(b"bcc cc date in-reply-to message-id references reply-to sender subject to".split())
SCORES: Final = {
    "no From": 2.0,
    "several From": 3.0,
    "no Date": 1.0,
    "malformed fields": 1.0,
    "repeated fields": 1.0,
}


class Headers:
    """Score messages whose header is not what RFC 5322 §3.6 asks for.

    Stage: message. Small scores only: much honest mail is careless. Mail of our own clients is not examined, since
    submission may complete it (RFC 6409 §8). A header of more octets or fields than checks look at is refused, whoever
    sends it: in what they do not see there could be anything. Evidence: flaw → what it is about.
    """

    name = "headers"
    stages = frozenset({Stage.MESSAGE})

    def examine_at_once(self, mail: Mail) -> Finding | None:
        """Count the fields."""
        beyond = _beyond_bounds(mail)
        if beyond:
            return Finding(self.name, "too large", refuse_with=HEADER_TOO_LARGE, evidence={"header": beyond})
        if mail.client.is_trusted:
            return None
        by_name = mail.fields_by_name
        flaws: dict[str, str] = {}
        if b"from" not in by_name:
            flaws["no From"] = "0"
        elif len(by_name[b"from"]) > 1:
            flaws["several From"] = str(len(by_name[b"from"]))
        if b"date" not in by_name:
            flaws["no Date"] = "0"
        if b"" in by_name:
            flaws["malformed fields"] = str(len(by_name[b""]))
        repeated = [name.decode() for name in SINGLE_BUT_FROM if len(by_name.get(name, ())) > 1]
        if repeated:
            flaws["repeated fields"] = ", ".join(repeated)
        if not flaws:
            return Finding(self.name, "pass")
        return Finding(self.name, "flawed", sum(SCORES[flaw] for flaw in flaws), evidence=flaws)

    async def examine(self, mail: Mail) -> Finding | None:
        """As `examine_at_once`."""
        return self.examine_at_once(mail)


def _beyond_bounds(mail: Mail) -> str:
    """Tell by what the header is more than checks look at; "" if it is not."""
    if len(mail.header) > MAX_HEADER_OCTETS:
        return f"more than {MAX_HEADER_OCTETS} octets"
    if len(mail.fields) > MAX_FIELDS:
        return f"more than {MAX_FIELDS} fields"
    return ""
