"""What is known of a session and of the transaction at hand."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from tripost_edge.session.admission import Admission
from tripost_edge.session.phase import Phase
from tripost_edge.session.tally import Tally
from tripost_shared.contracts.filter import SENDER_STAGE, Finding, Verdict
from tripost_shared.edge_limits import SessionLimits
from tripost_shared.mail.client import Client
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.identifier import message_id_of
from tripost_shared.mail.reply import SmtpReply


@dataclass(slots=True)
class Transaction:
    """From MAIL to the end of the content (RFC 5321 §3.3).

    `reverse_path` is "" for the null one. `eight_bit` is what the content turned out to be, once all of it is there.
    """

    id: str
    reverse_path: str
    smtputf8: bool = False
    envid: str = ""  # as the envelope's
    ret: str = ""
    eight_bit: bool = False
    recipients: dict[str, Recipient] = field(default_factory=dict)  # accepted ones, by their address
    findings: list[Finding] = field(default_factory=list)
    found: dict[tuple[str, str, str], int] = field(default_factory=dict)  # where in `findings` what they say is held
    refused_recipients: int = 0
    deferred_recipients: int = 0  # those of them that were judged, and may come again later
    last_refusal: SmtpReply | None = None
    announced_octets: int = 0  # by SIZE (RFC 1870)
    counted_by: set[str] = field(default_factory=set)  # rates that have counted the message
    give_backs: list[Callable[[], None]] = field(default_factory=list)  # of what it has taken from limits
    ruled: str = ""  # which rules have acted on it, in words for the trace

    def envelope(self) -> Envelope:
        """Give the envelope as it stands."""
        return Envelope(
            self.reverse_path,
            tuple(self.recipients.values()),
            smtputf8=self.smtputf8,
            eight_bit=self.eight_bit,
            envid=self.envid,
            ret=self.ret,
        )

    def come_to_nothing(self) -> None:
        """Give back what was taken from limits for a message that is not accepted."""
        while self.give_backs:
            self.give_backs.pop()()

    def keep_recipients(self, count: int) -> None:
        """Drop those that were accepted after so many."""
        for address in list(self.recipients)[count:]:
            del self.recipients[address]

    def add_findings(self, findings: tuple[Finding, ...]) -> None:
        """Keep what a stage found. Of client and sender the latest of each check counts; of recipients what differs."""
        for finding in findings:
            if finding.counts_once:
                key = (finding.check, finding.stage, "")
            else:
                key = (finding.check, finding.result, finding.because)
            place = self.found.setdefault(key, len(self.findings))
            if place == len(self.findings):
                self.findings.append(finding)
            elif finding.counts_once:
                self.findings[place] = finding

    def findings_of_sender(self) -> tuple[Finding, ...]:
        """Give what was found of the sender; nothing where a check could not do its work, and should be asked again."""
        found = tuple(finding for finding in self.findings if finding.stage == SENDER_STAGE)
        return () if any(finding.degraded for finding in found) else found


class Cancellable(Protocol):
    """What has been put off, such as a timer of the event loop."""

    def cancel(self) -> object:
        """Let it never happen."""
        ...


@dataclass(slots=True)
class Session:
    """A client's session.

    `judgement` is the filter's verdict on the connection, or the wait for it; of `judged_at` (seconds of the monotonic
    clock: when it was asked for, or came with another answer), by the policy's revision `judged_by`. `will_ask` is set
    while that question is held back. `limits` are those of this moment. `offers_tls`: STARTTLS may be said.
    `mechanisms` of SASL are those of the listener; empty for the default ones; `offered_mechanisms` what EHLO has
    offered.
    """

    id: str
    client: Client
    limits: SessionLimits = field(default_factory=SessionLimits)
    offers_tls: bool = True
    mechanisms: tuple[str, ...] = ()
    offered_mechanisms: tuple[str, ...] = ()
    phase: Phase = Phase.CONNECTED
    transaction: Transaction | None = None
    judgement: Verdict | Awaitable[Verdict] | None = None
    judged_at: float = 0.0
    judged_by: int = 0
    will_ask: Cancellable | None = None
    transactions: int = 0  # begun so far
    tally: Tally = field(default_factory=Tally)
    credential: str = ""  # by which domains knows again the password that the client logged in with
    auth_failures: int = 0
    is_allowed: bool = False  # by an access rule: bans and the test for early talkers do not concern it
    bans_known: int = -1  # the generation of bans by which it was last found not to be banned
    admission: Admission = field(default_factory=Admission)
    offers_xclient: bool = False
    check_author: bool = True
    client_is_proxy: bool = False  # a trusted one that has (yet) named no client: no rule is about it
    facts: int = 0  # recorded so far; numbers them

    def begin_transaction(
        self, reverse_path: str, *, smtputf8: bool = False, envid: str = "", ret: str = ""
    ) -> Transaction:
        """Open the next transaction."""
        self.transactions += 1
        self.transaction = Transaction(message_id_of(self.id, self.transactions), reverse_path, smtputf8, envid, ret)
        return self.transaction

    def learn(self, **changes: str | bool) -> None:
        """Take in a fact about the client."""
        self.client = replace(self.client, **changes)

    @property
    def seems_to_sweep(self) -> bool:
        """Whether recipients that do not exist are the client's own doing, and most of what it gives.

        A host that bounces what somebody has sent in our users' names gives them under the null reverse-path.
        """
        transaction = self.transaction
        is_bounce = transaction is not None and not transaction.reverse_path
        return not is_bounce and self.tally.unknown_recipients > self.tally.accepted_recipients

    @property
    def subject_id(self) -> str:
        """What a reply or a fact is about: the transaction at hand, else the session."""
        return self.transaction.id if self.transaction is not None else self.id
