"""Mailboxes that the disk takes nothing for: mail for them is deferred until somebody mends it. In memory alone."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Final

from tripost_shared.clock import Clock

MAX_MAILBOXES: Final = 1000


@dataclass(slots=True)
class _Refusal:
    because: str
    last_at: float  # monotonic
    attempts: int = 0


class Refusals:
    """Remembers each mailbox until the disk takes a message for it, or none has been attempted for `forget_after`.

    That is to be longer than a deferred delivery waits for its next attempt: the trouble would come and go.
    """

    def __init__(self, root: Path, clock: Clock, forget_after: timedelta) -> None:
        self._root = root
        self._clock = clock
        self._forget_after = forget_after.total_seconds()
        self._refusals: dict[PurePath, _Refusal] = {}

    def refused(self, mailbox: PurePath, because: str) -> None:
        """Note what the disk said to a delivery that is deferred for it."""
        now = self._clock.monotonic()
        known = self._refusals.get(mailbox)
        if known is None:
            self._forget_old(now)
            if len(self._refusals) >= MAX_MAILBOXES:
                return
            known = self._refusals[mailbox] = _Refusal(because, now)
        known.because, known.last_at = because, now
        known.attempts += 1

    def taken(self, mailbox: PurePath) -> None:
        """Note that a message is in the mailbox."""
        self._refusals.pop(mailbox, None)

    def troubles(self) -> Iterator[str]:
        """Say what the disk refuses, and where: a sentence for each thing that it says."""
        self._forget_old(self._clock.monotonic())
        by_reason: dict[str, list[PurePath]] = defaultdict(list)
        for mailbox, refusal in self._refusals.items():
            by_reason[refusal.because].append(mailbox)
        for because, mailboxes in by_reason.items():
            attempts = sum(self._refusals[mailbox].attempts for mailbox in mailboxes)
            yield f"mail folder {self._root}: {because}: {_named(mailboxes)}, deferred {_times(attempts)}"

    def _forget_old(self, now: float) -> None:
        last = now - self._forget_after
        self._refusals = {mailbox: each for mailbox, each in self._refusals.items() if each.last_at > last}


def _named(mailboxes: list[PurePath]) -> str:
    if len(mailboxes) == 1:
        return f"mail for {mailboxes[0]}"
    more = " or more" if len(mailboxes) >= MAX_MAILBOXES else ""
    return f"mail for {len(mailboxes)} mailboxes{more}, such as {mailboxes[0]}"


def _times(attempts: int) -> str:
    return "once" if attempts == 1 else f"{attempts} times"
