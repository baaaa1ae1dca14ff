"""What the sender is told of; pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tripost_domains.bounce.report import Notice
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.envelope import Recipient


def wants_failure_notice(recipient: Recipient) -> bool:
    """Tell whether a failure for this recipient is to be reported (RFC 3461 §4.1): by default it is."""
    return not recipient.notify or "FAILURE" in recipient.notify


def wants(recipient: Recipient, notice: Notice) -> bool:
    """Tell whether the sender has asked to be told of this about the recipient."""
    return notice.value in recipient.notify


def may_be_informed(message: SpooledMessage) -> bool:
    """Tell whether the sender may be told of anything but failures.

    Not where SPF says that the reverse-path is somebody else's: who wants a stranger to get mail from us would ask for
    a report of success.
    """
    is_ours = message.direction is Direction.BOUNCE
    return bool(message.envelope.reverse_path) and not is_ours and not message.sender_is_doubtful


def is_newly_late(received_at: datetime, last_attempt_at: datetime | None, now: datetime, after: timedelta) -> bool:
    """Tell whether a delay is to be told now: at the first attempt that comes so long after the message."""
    late_since = received_at + after
    return late_since <= now and (last_attempt_at is None or last_attempt_at < late_since)


def why_no_bounce(message: SpooledMessage, recipients: Sequence[Recipient]) -> str:
    """Say why nobody is told about these failures; "" when the sender is.

    Never to the null reverse-path (RFC 5321 §4.5.5): whoever answers a bounce begins a loop.
    """
    if message.direction is Direction.BOUNCE:
        return "double bounce: dropped"
    if not message.envelope.reverse_path:
        return "null reverse-path: nobody to tell"
    if not any(map(wants_failure_notice, recipients)):
        return "the sender asked not to be told"
    return ""
