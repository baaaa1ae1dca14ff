"""Which hosts a message goes round through, by its Received fields (RFC 5321 §4.4, §6.3)."""

import re
from collections import Counter
from typing import Final

from tripost_shared.mail.header import printable, unfold, values

MOST_HOSTS: Final = 5  # that are named
MOST_CHARACTERS: Final = 100  # of a name

_COMMENT: Final = re.compile(rb"\([^()]*\)")
_BY: Final = re.compile(rb"(?:^|[ \t])by[ \t]+([^ \t;]+)", re.IGNORECASE)


def hosts_in_loop(header: bytes) -> str:
    """Say which hosts have taken the message more than once, and how often: `a.example 26, b.example 25`.

    Those that did so most often come first. "" when none has: the way is long, and no circle.
    """
    hosts = Counter(_taken_by(value) for value in values(header, "received"))
    hosts.pop("", None)
    return ", ".join(f"{host} {times}" for host, times in hosts.most_common(MOST_HOSTS) if times > 1)


def times_taken_by(header: bytes, hostname: str) -> int:
    """Count the Received fields in which a host has taken the message."""
    name = hostname.lower()
    if name.encode() not in header.lower():  # nearly always, and quicker than to read the fields
        return 0
    return sum(1 for value in values(header, "received") if _taken_by(value) == name)


def _taken_by(value: bytes) -> str:
    """Give the host of a field's `by` clause, "" when it has none."""
    match = _BY.search(_COMMENT.sub(b" ", unfold(value)))
    return printable(match[1].decode("utf-8", "replace").lower())[:MOST_CHARACTERS] if match else ""
