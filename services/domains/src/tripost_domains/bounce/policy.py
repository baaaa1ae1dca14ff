"""Whether a failure is told to the sender; pure."""

from collections.abc import Sequence

from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.envelope import Recipient


def wants_failure_notice(recipient: Recipient) -> bool:
    """Tell whether a failure for this recipient is to be reported (RFC 3461 §4.1): by default it is."""
    return not recipient.notify or "FAILURE" in recipient.notify


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
