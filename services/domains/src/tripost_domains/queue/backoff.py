"""When a deferred delivery is tried again; pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_MAX_DOUBLINGS = 30  # past any cap; keeps the power small


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """The first delay doubles with each attempt up to the cap (RFC 5321 §4.5.4.1: give up after 4–5 days).

    `jitter` spreads what was deferred together: 0.1 means up to 10 % sooner or later. `busy` is the delay after an
    attempt that was put off because the next hop had no room.
    """

    first: timedelta = timedelta(minutes=5)
    cap: timedelta = timedelta(hours=2)
    jitter: float = 0.1
    lifetime: timedelta = timedelta(days=5)
    busy: timedelta = timedelta(seconds=30)

    @property
    def longest(self) -> timedelta:
        """The longest delay after an attempt, except for `busy`."""
        return self.cap * (1 + self.jitter)


def delay_after(attempts: int, policy: BackoffPolicy, chance: float) -> timedelta:
    """Give the delay after so many attempts (1 or more); `chance` from 0 to 1 picks the place within the jitter."""
    doublings = min(max(attempts, 1) - 1, _MAX_DOUBLINGS)
    plain = min(policy.first.total_seconds() * 2**doublings, policy.cap.total_seconds())
    return timedelta(seconds=plain * (1 + policy.jitter * (2 * chance - 1)))


def next_attempt(
    attempts: int, now: datetime, expires_at: datetime, policy: BackoffPolicy, chance: float
) -> datetime | None:
    """Say when to try again after so many attempts: never after `expires_at`, and None once that is past.

    0 attempts: the one at hand was put off before it began.
    """
    if now >= expires_at:
        return None
    delay = delay_after(attempts, policy, chance) if attempts else policy.busy
    return min(now + delay, expires_at)
