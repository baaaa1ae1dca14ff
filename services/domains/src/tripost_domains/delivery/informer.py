"""Tells senders what they asked to be told besides failures: successes, and once a delay (RFC 3461 §4.1, §6.2).

It comes after all else of a settlement. A crash before it may lose such a report, and never a message.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tripost_domains.bounce.policy import is_newly_late, may_be_informed, wants
from tripost_domains.bounce.report import Notice
from tripost_domains.delivery.bouncer import Bouncer
from tripost_domains.delivery.outcome import Attempted
from tripost_shared.clock import Clock
from tripost_shared.contracts.spool import SpooledMessage


class PutOff(NamedTuple):
    """A delivery that is tried again: when it was tried before (None: never), and when it is given up."""

    attempted: Attempted
    last_attempt_at: datetime | None
    expires_at: datetime


class Informer:
    """Chooses whom a report is about; `delay` is the age of a message from which on a delay is told."""

    def __init__(self, bouncer: Bouncer, clock: Clock, delay: timedelta) -> None:
        self._bouncer = bouncer
        self._clock = clock
        self._delay = delay

    async def inform(
        self, message: SpooledMessage, done: Iterable[Attempted], put_off: Sequence[PutOff], *, may_be_told: bool
    ) -> None:
        """Send the reports that are due; `done` are successes, aliases that were expanded among them."""
        if not may_be_informed(message):
            return
        successes = [each for each in done if wants(each.recipient, Notice.SUCCESS) and not each.outcome.hop_reports]
        if successes:
            await self._bouncer.report(message, Notice.SUCCESS, successes, may_be_told=may_be_told)
        now = self._clock.now()
        late = [
            each
            for each in put_off
            if wants(each.attempted.recipient, Notice.DELAY)
            and is_newly_late(message.received_at, each.last_attempt_at, now, self._delay)
        ]
        if late:
            await self._bouncer.report(
                message,
                Notice.DELAY,
                [each.attempted for each in late],
                may_be_told=may_be_told,
                retry_until={each.attempted.recipient.address: each.expires_at for each in late},
            )
