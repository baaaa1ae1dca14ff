"""What a DSN says, as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tripost_shared.mail.reply import SmtpReply


class Notice(StrEnum):
    """What a sender is told of, in the words of NOTIFY (RFC 3461 §4.1)."""

    FAILURE = "FAILURE"
    DELAY = "DELAY"
    SUCCESS = "SUCCESS"


class Action(StrEnum):
    """What became of a recipient, in the words of RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """A recipient that the DSN is about.

    `original` is ORCPT, decoded ("rfc822;ann@dest.example", or ""). `last_reply` is what the last attempt ended with,
    where `reply` is our word that there is no further one. `remote_mta` is the host that said what the attempt ended
    with, or "": we did. `written_to` is the address that the sender wrote to, when another one led from there to this
    recipient, of whom the sender knows nothing; or "". `places` are the hosts and next hops, as they are named in
    our own words, that lead to the recipient. `retry_until` is when one that is delayed is given up.
    """

    address: str
    original: str
    reply: SmtpReply
    remote_mta: str
    attempted_at: datetime
    last_reply: SmtpReply | None = None
    written_to: str = ""
    places: tuple[str, ...] = ()
    action: Action = Action.FAILED
    retry_until: datetime | None = None

    @property
    def end(self) -> SmtpReply:
        """What the last attempt ended with."""
        return self.last_reply or self.reply


@dataclass(frozen=True, slots=True)
class Report:
    """What a DSN says. `header` is that of the original message, the fields that we put on top included.

    `whole` is all of that message where it goes back as a whole, else None.
    """

    message_id: str
    reporting_mta: str
    sender: str
    arrived_at: datetime
    composed_at: datetime
    envid: str
    header: bytes
    recipients: Sequence[ReportedRecipient]
    notice: Notice = Notice.FAILURE
    whole: bytes | None = None
