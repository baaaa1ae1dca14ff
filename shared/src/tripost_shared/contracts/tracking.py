"""What domains and admin-api both know of the tracking, which they share through the database."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

STATUS_IN_WORDS: Final = (
    "Where the message stands: the state of that recipient who asks most for attention "
    "(held, deferred, failed or bounced, discarded, delivered, relayed)"
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Role(StrEnum):
    """What an address is to a message that is found by it; its sender stands in the message's own row."""

    RECIPIENT = "recipient"  # in its envelope, refused, or what an alias was replaced by
    LOGIN = "login"  # the user name of who sent it, or of an authentication that failed


def halves(address: str) -> tuple[str, str]:
    """Give what stands before and after the last @; a user name without one, and the null path, have no domain."""
    local_part, at, domain = address.rpartition("@")
    return (local_part, domain) if at else (domain, "")


def microseconds(moment: datetime) -> int:
    """Give a time as microseconds since 1970, exactly: what costs least to write and to sort by."""
    return (moment - _EPOCH) // _MICROSECOND
