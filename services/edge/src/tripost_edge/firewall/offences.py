"""What clients are banned for by themselves, and for how long; pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tripost_edge.session import replies
from tripost_shared.contracts.bans import BY_EDGE, Ban, BansPolicy, BanTrigger
from tripost_shared.mail.reply import SmtpReply


class Offence(StrEnum):
    """The name of its trigger in the policy."""

    AUTHENTICATION = "authentication"
    PROTOCOL = "protocol"
    UNKNOWN_RECIPIENTS = "unknown_recipients"
    EARLY_TALKER = "early_talkers"


REASONS: Final[Mapping[Offence, str]] = MappingProxyType(
    {
        Offence.AUTHENTICATION: "too many failed authentications",
        Offence.PROTOCOL: "too many sessions that were ended for errors",
        Offence.UNKNOWN_RECIPIENTS: "too many recipients that do not exist",
        Offence.EARLY_TALKER: "talking before it was greeted, too often",
    }
)
# Ends of sessions that are an offence. Unknown recipients are counted one by one, and failed authentications too.
ENDED_FOR: Final[Mapping[SmtpReply, Offence]] = MappingProxyType(
    dict.fromkeys(
        (replies.TOO_MANY_ERRORS, replies.TOO_MANY_COMMANDS, replies.ENDLESS_LINE, replies.PIPELINED_STARTTLS),
        Offence.PROTOCOL,
    )
)


def trigger_of(policy: BansPolicy, offence: Offence) -> BanTrigger | None:
    """Give what makes an offence a ban; None where it never is."""
    trigger: BanTrigger = getattr(policy, offence.value)
    return trigger if policy.enabled and trigger.enabled else None


def epoch(former: Ban | None) -> str:
    """Name the time since when a network's offences count: anew after each ban, and so after one that was lifted."""
    return "" if former is None else f"@{former.since.timestamp():.0f}"


def next_ban(
    policy: BansPolicy, offence: Offence, network: str, former: Ban | None, now: datetime, node: str
) -> tuple[Ban, datetime]:
    """Give the ban of a network that has offended too often, and until when it is to be remembered.

    One who is banned again is banned twice as long as the last time.
    """
    trigger: BanTrigger = getattr(policy, offence.value)
    memory = timedelta(seconds=policy.memory_seconds)
    offences = 1
    if former is not None and former.is_automatic and former.offences and now < former.until + memory:
        offences = former.offences + 1
    seconds = min(trigger.duration_seconds << min(offences - 1, 30), policy.longest_seconds)
    until = now + timedelta(seconds=seconds)
    return Ban(network, REASONS[offence], now, until, f"{BY_EDGE}{node}", offences), until + memory
