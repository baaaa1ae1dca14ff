"""What is remembered of hosts for a short time: that they could not be reached, that TLS does not work."""

from datetime import timedelta
from typing import Final

from tripost_domains.delivery.outcome import Outcome
from tripost_domains.delivery.relay.host import Host, Way
from tripost_shared.clock import Clock

MAX_HOSTS: Final = 10_000
TLS_FAILURE_KEPT: Final = timedelta(minutes=1)


class HostMemory:
    """Spares new messages the wait for a host that is dead, and a second connection to one whose TLS is broken."""

    def __init__(self, clock: Clock, failure_kept: timedelta) -> None:
        self._clock = clock
        self._kept_seconds = failure_kept.total_seconds()
        self._failures: dict[Way, tuple[float, Outcome]] = {}
        self._plain: dict[Host, float] = {}

    def note_failure(self, way: Way, outcome: Outcome) -> None:
        """Remember that the host could not be used this way."""
        _make_room(self._failures)
        self._failures[way] = (self._clock.monotonic(), outcome)

    def note_success(self, way: Way) -> None:
        """Forget a failure."""
        self._failures.pop(way, None)

    def failure_of(self, way: Way, since: float | None) -> Outcome | None:
        """Give a failure that is fresh enough; with `since` (monotonic) only one that came after it."""
        known = self._failures.get(way)
        if known is None:
            return None
        at, outcome = known
        if self._clock.monotonic() - at >= self._kept_seconds:
            del self._failures[way]
            return None
        return outcome if since is None or at > since else None

    def note_broken_tls(self, host: Host) -> None:
        """Remember that there is no TLS to be had although the host offers it."""
        _make_room(self._plain)
        self._plain[host] = self._clock.monotonic() + TLS_FAILURE_KEPT.total_seconds()

    def forget_broken_tls(self, host: Host) -> None:
        """Have the next message try the handshake again."""
        self._plain.pop(host, None)

    def has_broken_tls(self, host: Host) -> bool:
        """Tell whether plain text is the only way, as far as we know."""
        return self._plain.get(host, 0.0) > self._clock.monotonic()


def _make_room(kept: dict[Way, tuple[float, Outcome]] | dict[Host, float]) -> None:
    if len(kept) >= MAX_HOSTS:
        kept.clear()
