"""Failed logins make the next one wait, by the client's network; pure but for the clock.

An account is never made to wait by itself: whoever knows its name could keep its operator out, from anywhere.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tripost_admin_api.access.networks import network_of
from tripost_shared.clock import Clock

FREE_FAILURES: Final = 5  # a person who mistypes meets no wait
LONGEST_WAIT: Final = timedelta(minutes=1)  # a network that was abused is soon good again once that ends
FORGET_AFTER: Final = timedelta(minutes=15)
MOST_KEPT: Final = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    last_at: float  # seconds of the clock's `monotonic`


def keys_of(client_address: str, account: str) -> tuple[str, str]:
    """Give what an attempt counts against: the client's network, and the account as it is tried from there.

    The first bounds what a network may try with many accounts; the second stays when the first is forgotten because
    another account has logged in from that network.
    """
    network = network_of(client_address)
    return f"network {network}", f"account {account} from {network}"


class LoginThrottle:
    """From the sixth failure on, the wait doubles with each: 1 s, 2 s, 4 s … a minute at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def attempt(self, *keys: str) -> timedelta:
        """Begin a login attempt; a positive answer is the time to wait first, and the attempt must not be made.

        The attempt counts as failed until `succeeded` says otherwise, so that attempts side by side count too.
        """
        now = self._clock.monotonic()
        wait = max((self._wait(key, now) for key in keys), default=0.0)
        if wait > 0:
            return timedelta(seconds=wait)
        for key in keys:
            known = self._failures.pop(key, None)
            count = 0 if known is None or now - known.last_at > FORGET_AFTER.total_seconds() else known.count
            self._failures[key] = _Failures(count + 1, now)
        while len(self._failures) > MOST_KEPT:
            self._failures.popitem(last=False)
        return timedelta(0)

    def succeeded(self, *keys: str) -> None:
        """Forget the failures."""
        for key in keys:
            self._failures.pop(key, None)

    def _wait(self, key: str, now: float) -> float:
        known = self._failures.get(key)
        if known is None or known.count < FREE_FAILURES:
            return 0.0
        doubled = 2.0 ** min(known.count - FREE_FAILURES, 10)
        return float(known.last_at + min(doubled, LONGEST_WAIT.total_seconds()) - now)
