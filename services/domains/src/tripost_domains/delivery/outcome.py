"""How an attempt ended, recipient by recipient; values only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from tripost_shared.contracts.queue import MAILBOX_HOP
from tripost_shared.mail.envelope import Recipient
from tripost_shared.mail.reply import SmtpReply

MAILBOX: Final = MAILBOX_HOP


class Result(StrEnum):
    """What became of the delivery."""

    DELIVERED = "delivered"
    RELAYED = "relayed"
    DEFERRED = "deferred"
    FAILED = "failed"
    EXPANDED = "expanded"  # an alias: those that it leads to get the mail each by a delivery of its own


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt for one recipient.

    `host` names the host that was talked to, such as `mx.dest.example[192.0.2.1]:25`, or MAILBOX, or nothing.
    `last_reply` is what the last attempt ended with, where `reply` is our word that there is no further one. The reply
    of the two that the attempt ended with is that of `remote_mta`, a host's name; "" when the words are ours.
    `hop_reports`: the next hop has the DSN extension, so whatever the sender wants to be told of is its task now.
    `was_tried` is False when the attempt was put off before it began, so that it does not count. `detail` is for the
    trace.
    """

    result: Result
    reply: SmtpReply
    host: str = ""
    remote_mta: str = ""
    detail: str = ""
    was_tried: bool = True
    last_reply: SmtpReply | None = None
    hop_reports: bool = False


@dataclass(frozen=True, slots=True)
class Attempted:
    """A recipient with the outcome.

    `source` is the address that led to it: the envelope's or the queue's, another one than the recipient's if an alias
    was expanded. `next_hop` is the queue's name for where the recipient leads. `first_source` is the envelope's address
    where `source` is the queue's and an alias had been expanded before; else "".
    """

    recipient: Recipient
    source: str
    next_hop: str
    outcome: Outcome
    first_source: str = ""

    @property
    def written_to(self) -> str:
        """The address that the sender wrote to; "" when it is the recipient's."""
        address = self.first_source or self.source
        return "" if address == self.recipient.address else address


@dataclass(frozen=True, slots=True)
class Trial:
    """What the agents need to know of an attempt.

    `may_be_repeated`: an earlier taker may have done some of it and not said so. `began_at` (monotonic) for an attempt
    that the queue's schedule or an operator asked for: only failures of a host seen after it count; None: all that are
    remembered. `within`: the time until the final dot is sent, after which the delivery is deferred; None: the relay's
    own patience is all that ends it.
    """

    may_be_repeated: bool = False
    began_at: float | None = None
    within: timedelta | None = None


def delivered(host: str, text: str, detail: str = "") -> Outcome:
    """Say that the message is in a mailbox."""
    return Outcome(Result.DELIVERED, SmtpReply(250, "2.0.0", text), host, detail=detail)


def deferred(enhanced: str, text: str, host: str = "", detail: str = "") -> Outcome:
    """Say in our own words that it could not be done now; `enhanced` is a 4.y.z code."""
    return Outcome(Result.DEFERRED, SmtpReply(451, enhanced, text), host, detail=detail)


def failed(enhanced: str, text: str, host: str = "", detail: str = "") -> Outcome:
    """Say in our own words that it cannot be done; `enhanced` is a 5.y.z code."""
    return Outcome(Result.FAILED, SmtpReply(550, enhanced, text), host, detail=detail)


def expanded() -> Outcome:
    """Say that an alias was replaced by those that it leads to."""
    return Outcome(Result.EXPANDED, SmtpReply(250, "2.0.0", "Passed on to everybody behind this address"))


def expired(last: Outcome, received_at: datetime) -> Outcome:
    """Give up after a deferral, since the message's time in the queue is over."""
    reply = SmtpReply(550, "5.4.7", f"Not delivered since {received_at:%Y-%m-%d %H:%M} UTC, given up")
    detail = f"expired; last reply: {last.reply}"
    return Outcome(Result.FAILED, reply, last.host, last.remote_mta, detail, last_reply=last.reply)
