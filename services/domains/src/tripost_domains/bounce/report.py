"""What a DSN says, as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tripost_shared.mail.reply import SmtpReply


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """A recipient that the DSN is about.

    `original` is ORCPT, decoded ("rfc822;ann@dest.example", or ""). `last_reply` is what the last attempt ended with,
    where `reply` is our word that there is no further one. `remote_mta` is the host that said what the attempt ended
    with, or "": we did. `written_to` is the address that the sender wrote to, when another one led from there to this
    recipient, of whom the sender knows nothing; or "". `places` are the hosts and next hops, as they are named in
    our own words, that lead to the recipient.
    """

    address: str
    original: str
    reply: SmtpReply
    remote_mta: str
    attempted_at: datetime
    last_reply: SmtpReply | None = None
    written_to: str = ""
    places: tuple[str, ...] = ()

    @property
    def end(self) -> SmtpReply:
        """What the last attempt ended with."""
        return self.last_reply or self.reply


@dataclass(frozen=True, slots=True)
class Report:
    """What a DSN says. `header` is that of the original message, the fields that we put on top included."""

    message_id: str
    reporting_mta: str
    sender: str
    arrived_at: datetime
    composed_at: datetime
    envid: str
    header: bytes
    failures: Sequence[FailedRecipient]
