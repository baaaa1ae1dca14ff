"""What edge asks filter: judge a connection, recipients, a message.

A check answers with a Finding; the findings of a stage make a Verdict. `filter.v1` is stable: fields are only added,
each with a default.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Final

import msgspec

from tripost_shared.contracts.subject import Subject
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope
from tripost_shared.mail.reply import SmtpReply


class Action(StrEnum):
    """What happens to the mail."""

    ACCEPT = "accept"
    TAG = "tag"  # accept, with the verdict's header fields that mark it as spam
    DEFER = "defer"  # 4yz: come back later
    REJECT = "reject"  # 5yz
    QUARANTINE = "quarantine"
    REDIRECT = "redirect"
    DISCARD = "discard"  # 250, and nothing is delivered

    @property
    def refuses(self) -> bool:
        """Whether the client gets a 4yz or 5yz."""
        return self in {Action.DEFER, Action.REJECT}


CONNECTION_STAGE: Final = "connection"
SENDER_STAGE: Final = "sender"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one check found.

    `result` is the standard's own word ("pass", "softfail", "listed", "new" …). `score` counts towards the policy's
    thresholds. `refuse_with` asks for a refusal in these words. `degraded` tells that the check could not do its work
    and its failure policy spoke instead; `because` says why, for the trace. `evidence` holds what an operator needs to
    understand the result: DNS name and record, selector, zone and answer, times. Values are short strings. `stage` is
    the one at which the check was asked, "" when the replica is too old to say.
    """

    check: str
    result: str
    score: float = 0.0
    because: str = ""
    refuse_with: SmtpReply | None = None
    degraded: bool = False
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    elapsed_ms: float = 0.0
    stage: str = ""

    @property
    def counts_once(self) -> bool:
        """Whether it is about the client or the sender: then a transaction has one of its check, the latest."""
        return self.stage in {CONNECTION_STAGE, SENDER_STAGE}


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """The filter's answer for one stage.

    `reply` is set when the action refuses. `header_fields` are whole fields, CRLF at the end of each, to put on top of
    the message in this order. `rule` names the policy rule that decided; `revision` is that of the configuration.
    `intended` is the action that monitor mode held back, None when it held nothing back. `good_for_seconds` is how long
    a verdict on a client may be remembered: 0 where a DNS answer that it rests on is for its asker alone (TTL 0), None
    where the DNS sets no bound.
    """

    action: Action
    findings: tuple[Finding, ...] = ()
    reply: SmtpReply | None = None
    score: float = 0.0
    header_fields: bytes = b""
    redirect_to: str = ""
    rule: str = ""
    revision: int = 0
    intended: Action | None = None
    good_for_seconds: float | None = None


class ConnectionQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A client has connected (stage "connection": block lists, reverse DNS)."""

    session_id: str
    client: Client


class RecipientsQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """MAIL and one or more RCPT were given (stages "sender": SPF, and "recipient": greylist).

    `recipients` holds those not yet asked about; `reverse_path` is "" for the null one. `and_client` asks for the
    stage "connection" as well: the client has not been judged yet. `sender` holds what the transaction has of stage
    "sender" already, if all those checks could do their work: the sender is not judged again, and these are in the
    verdicts as if it had been.
    """

    message_id: str
    client: Client
    reverse_path: str
    recipients: tuple[str, ...]
    and_client: bool = False
    sender: tuple[Finding, ...] = ()


class RecipientsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One verdict per recipient, in the order of the question.

    `client` is the verdict on the client, None when it was not asked for (or the replica is too old to give it). There
    are no other verdicts when it refuses a client that is not trusted.
    """

    verdicts: tuple[Verdict, ...]
    client: Verdict | None = None


class MessageQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content has arrived (stage "message": DKIM, content checks).

    `findings` are those of the earlier stages, so that the message stage can weigh and report them (SPF in
    Authentication-Results, the score of a block list).
    """

    message_id: str
    client: Client
    envelope: Envelope
    content: Content
    findings: tuple[Finding, ...] = ()


FILTER_QUEUE: Final = "filter"

CONNECTION: Final = Subject(
    "filter.v1.connection", ConnectionQuestion, Verdict, FILTER_QUEUE, timedelta(seconds=6), timedelta(seconds=2.5)
)
RECIPIENTS: Final = Subject(
    "filter.v1.recipients",
    RecipientsQuestion,
    RecipientsAnswer,
    FILTER_QUEUE,
    timedelta(seconds=8),
    timedelta(seconds=3.5),
)
MESSAGE: Final = Subject(
    "filter.v1.message", MessageQuestion, Verdict, FILTER_QUEUE, timedelta(seconds=120), timedelta(seconds=50)
)
