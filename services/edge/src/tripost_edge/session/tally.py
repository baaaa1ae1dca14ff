"""What a client does too often in one session, and what it hears then (RFC 5321 §4.2.5, §4.3.2)."""

from dataclasses import dataclass
from typing import Final

from tripost_edge.session import replies
from tripost_shared.edge_limits import SessionLimits
from tripost_shared.mail.reply import SmtpReply

PROTOCOL_ERRORS: Final = frozenset({500, 501, 502, 503, 504, 530, 538, 555})
DEFERRALS_PER_REFUSAL: Final = 10  # a list's host that meets the greylist hears many, and does nothing wrong


@dataclass(slots=True)
class Tally:
    """Counts of one session. Each method takes one more, and gives the reply that ends the session, or None."""

    commands: int = 0
    slips: int = 0  # of the protocol
    unknown_recipients: int = 0
    accepted_recipients: int = 0  # of accepted messages
    refusals: int = 0  # other 5yz replies to commands that were in order, since a message was last accepted
    deferrals: int = 0  # 4yz replies, since then
    idle_commands: int = 0  # such as NOOP and RSET, since then

    def command(self, limits: SessionLimits, *, count: int = 1) -> SmtpReply | None:
        """Count commands of any kind, those that cannot be read among them."""
        self.commands += count
        return replies.TOO_MANY_COMMANDS if self.commands > limits.commands_per_session else None

    def idle_command(self, limits: SessionLimits) -> SmtpReply | None:
        """Count a command that leads nowhere by itself."""
        self.idle_commands += 1
        return replies.TOO_MANY_IDLE_COMMANDS if self.idle_commands > limits.idle_commands_per_session else None

    def refusal(self, reply: SmtpReply, limits: SessionLimits) -> SmtpReply | None:
        """Count a reply that refuses."""
        if reply.code in PROTOCOL_ERRORS:
            self.slips += 1
        elif reply.enhanced == replies.UNKNOWN_RECIPIENT.enhanced:
            self.unknown_recipients += 1
        elif reply.is_permanent:
            self.refusals += 1
        elif reply.is_transient and reply.enhanced != replies.TOO_MANY_RECIPIENTS.enhanced:  # that costs us nothing
            self.deferrals += 1
        if self.unknown_recipients > limits.unknown_recipients_per_session:
            return replies.TOO_MANY_UNKNOWN_RECIPIENTS
        refusals = self.refusals + self.deferrals // DEFERRALS_PER_REFUSAL
        is_too_much = self.slips > limits.errors_per_session or refusals > limits.refusals_per_session
        return replies.TOO_MANY_ERRORS if is_too_much else None

    def delay_seconds(self, reply: SmtpReply, limits: SessionLimits) -> float:
        """Tell how long a reply that was counted is to be held back."""
        is_slip = reply.code in PROTOCOL_ERRORS
        return limits.error_delay_seconds if is_slip and self.slips > limits.errors_before_delay else 0

    def message_accepted(self, recipients: int) -> None:
        """Begin to count anew what only a client without messages does too often."""
        self.accepted_recipients += recipients
        self.refusals = self.deferrals = self.idle_commands = 0
