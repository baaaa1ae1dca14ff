"""The one id by which a session and its messages are tracked from connection to final DSN.

A session's id has 16 characters of lower-case Crockford base 32: nine of time (milliseconds since 1970) and seven
random ones, so ids sort by time. The n-th transaction of the session adds `.n`: `1k3v9q2m8f0abcde.1`. A message that
we compose ourselves (a DSN) has a session of its own, derived from what it is about: composed again after a crash, it
has the same id.
"""

import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARACTERS: Final = 9
_RANDOM_BITS: Final = 35
_SESSION: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{16}")
_MESSAGE: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{16}\.[1-9][0-9]{0,6}")


def new_session_id(now: datetime) -> str:
    """Make a session's id; two made in one millisecond differ by 35 random bits."""
    return _written((int(now.timestamp() * 1000) << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS), 16)


def derived_session_id(identifier: str, distinction: Iterable[str]) -> str:
    """Make a session's id that is the same for the same id and words; its time is that of the id."""
    digest = blake2b("\0".join((identifier, *distinction)).encode(), digest_size=8).digest()
    return identifier[:_TIME_CHARACTERS] + _written(int.from_bytes(digest) >> (64 - _RANDOM_BITS), 7)


def _written(number: int, characters: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(5 * (characters - 1), -1, -5))


def message_id_of(session_id: str, transaction: int) -> str:
    """Name the session's n-th transaction, counted from 1."""
    return f"{session_id}.{transaction}"


def session_of(identifier: str) -> str:
    """Give the session's id of a message's or a session's id."""
    return identifier.partition(".")[0]


def is_session_id(text: str) -> bool:
    """Tell whether the text has the form of a session's id."""
    return _SESSION.fullmatch(text) is not None


def is_message_id(text: str) -> bool:
    """Tell whether the text has the form of a message's id."""
    return _MESSAGE.fullmatch(text) is not None
