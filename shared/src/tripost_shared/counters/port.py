"""Shared counts as services see them.

A count belongs to a kind of count (`rate-messages`), a key (`login:ann@example.org`) and a window: windows of one
length follow each other without a gap, the first one of each began with 1970 in UTC. Each count begins at 0 by itself.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

LONGEST_WINDOW_SECONDS: Final = 86_400  # older counts are forgotten
OURS: Final = ""  # the group of keys that nobody can make many of: logins, networks that have offended
CLIENTS: Final = "clients"
DOMAINS: Final = "domains"
GROUPS: Final = (OURS, CLIENTS, DOMAINS)


class CountersUnavailable(Exception):
    """No answer: what was to be added may be counted or not."""


class Count(NamedTuple):
    """Names one count. `kind` is of `[a-z0-9-]+`, `key` any text; `number` says which window it is.

    `group` is one of GROUPS: when there are too many counts, those of one group push out none of another. So keys that
    strangers choose have groups of their own.
    """

    kind: str
    key: str
    window_seconds: int
    number: int
    group: str = OURS

    @property
    def before(self) -> "Count":
        """The count of the window before."""
        return self._replace(number=self.number - 1)


class Tally(NamedTuple):
    """A count and how far it has come."""

    of: Count
    total: int


def window_at(now: datetime, window_seconds: int) -> int:
    """Give the number of the window that this time lies in."""
    return int(now.timestamp()) // window_seconds


def count_at(now: datetime, kind: str, key: str, window_seconds: int, group: str = OURS) -> Count:
    """Name the count of that time."""
    return Count(kind, key, window_seconds, window_at(now, window_seconds), group)


class Counters(Protocol):
    """Counts that all replicas see, for windows of a day at most. All methods raise CountersUnavailable.

    They are kept in memory, the least lately changed one is dropped when there are too many, and they are lost when the
    servers end: they are for limits, not for accounts.
    """

    async def add(self, kind: str, key: str, window_seconds: int, amount: int = 1, group: str = OURS) -> int:
        """Add to the count of the window that is now; gives its new total."""
        ...

    async def add_all(self, increments: Sequence[tuple[Count, int]]) -> list[int]:
        """Add to several counts, all on their way together; gives their new totals. Amounts may be negative."""
        ...

    async def read(self, kind: str, key: str, window_seconds: int, group: str = OURS) -> int:
        """Give the total of the window that is now."""
        ...

    async def read_all(self, counts: Sequence[Count]) -> list[int]:
        """Give the totals of several counts."""
        ...

    async def tallies(self, kind: str) -> list[Tally]:
        """List a kind's counts, of this window and the one before, 100,000 at most and in no order."""
        ...
