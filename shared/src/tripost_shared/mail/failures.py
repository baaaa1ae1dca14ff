"""Failures that carry the client's reply and, apart from it, the reason that we log."""

from tripost_shared.mail.reply import TRY_LATER, SmtpReply


class MailFailure(Exception):
    """Something was not done. `reply` is for the client; `because` is for the log and the trace only."""

    def __init__(self, reply: SmtpReply, *, because: str) -> None:
        super().__init__(because)
        self.reply = reply
        self.because = because


class TransientFailure(MailFailure):
    """Not done now; the client keeps the message and comes back (4yz)."""

    def __init__(self, reply: SmtpReply = TRY_LATER, *, because: str) -> None:
        super().__init__(reply, because=because)


class PermanentFailure(MailFailure):
    """Refused for good (5yz)."""
