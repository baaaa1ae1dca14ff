"""What domains and admin-api both know of the tracking, which they share through the database."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Role(StrEnum):
    """What an address is to a message that is found by it; its sender stands in the message's own row."""

    RECIPIENT = "recipient"  # in its envelope, refused, or what an alias was replaced by
    LOGIN = "login"  # the user name of who sent it, or of an authentication that failed


def domain_of(address: str) -> str:
    """Give what follows the last @; "" where there is none, as in the null reverse-path or a user name."""
    return address.rpartition("@")[2] if "@" in address else ""


def microseconds(moment: datetime) -> int:
    """Give a time as microseconds since 1970, exactly: what costs least to write and to sort by."""
    return (moment - _EPOCH) // _MICROSECOND
