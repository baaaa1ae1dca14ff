"""How long a session may take, and how slowly content may come (RFC 5321 §4.5.3.2)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tripost_shared.edge_limits import SessionLimits

RATE_INTERVAL: Final = 5.0  # seconds between two looks at the rate, once the grace period is over


@dataclass(frozen=True, slots=True)
class Patience:
    """What a client is granted: seconds, and octets per second of content."""

    command_seconds: float = 300
    content_seconds: float = 180
    session_seconds: float = 3600
    minimum_rate: float = 200
    rate_grace_seconds: float = 30

    @staticmethod
    def of(limits: SessionLimits) -> "Patience":
        """Give what these limits grant."""
        return Patience(
            command_seconds=limits.command_timeout_seconds,
            content_seconds=limits.content_timeout_seconds,
            session_seconds=limits.session_seconds,
            minimum_rate=limits.content_minimum_rate,
            rate_grace_seconds=limits.content_rate_grace_seconds,
        )


class Overdue(StrEnum):
    """Which patience has run out."""

    COMMAND = "no command in time"
    CONTENT = "no content in time"
    RATE = "content below the minimum rate"
    SESSION = "session too long"


class Pace:
    """Follows one session by times that it is given (seconds that never go back).

    It holds no timer: `next_check` tells when to look again. A timer set for that moment can stay as it is whatever
    the client does in between, so a session needs one that rarely fires, and not one for each read.
    """

    def __init__(self, patience: Patience, now: float) -> None:
        self._begun_at = now
        self.grant(patience)
        self._waiting_until: float | None = None
        self._receiving_since: float | None = None
        self._waited_before = 0.0  # time of the reception in which the client waited for us
        self._stopped_waiting_at = now
        self._received_octets = 0

    def grant(self, patience: Patience) -> None:
        """Grant another patience, from the next wait on; the moment for the next look may have come nearer by that."""
        self._patience = patience
        self._shortest = min(patience.command_seconds, patience.content_seconds, patience.rate_grace_seconds)
        self._session_until = self._begun_at + patience.session_seconds

    def wait_for_command(self, now: float) -> None:
        """Expect a whole command from the client; between the chunks of a content its rate goes on to count."""
        self._leave_out_our_time(now)
        self._waiting_until = now + self._patience.command_seconds

    def wait_for_content(self, now: float) -> None:
        """Expect more of the content from the client."""
        if self._receiving_since is None:
            self._receiving_since = now
        else:
            self._leave_out_our_time(now)
        self._waiting_until = now + self._patience.content_seconds

    def received(self, octets: int, now: float) -> None:
        """Count content that has come; from now on the client waits for us."""
        self._received_octets += octets
        self._waiting_until = None
        self._stopped_waiting_at = now

    def stop_waiting(self) -> None:
        """Expect nothing: what was waited for has come."""
        self._waiting_until = None

    def postpone(self, seconds: float) -> None:
        """Grant so much more for what is waited for: we let the client wait meanwhile."""
        if self._waiting_until is not None:
            self._waiting_until += seconds
        if self._receiving_since is not None:
            self._waited_before += seconds

    def end_content(self) -> None:
        """Note that the content is complete."""
        self._waiting_until = self._receiving_since = None
        self._received_octets = 0
        self._waited_before = 0.0

    def _leave_out_our_time(self, now: float) -> None:
        if self._receiving_since is not None and self._waiting_until is None:
            self._waited_before += now - self._stopped_waiting_at

    def overdue(self, now: float) -> Overdue | None:
        """Tell which patience has run out by now. While the client waits for us, none does."""
        if self._waiting_until is None:
            return None
        if now >= self._session_until:
            return Overdue.SESSION
        if now >= self._waiting_until:
            return Overdue.COMMAND if self._receiving_since is None else Overdue.CONTENT
        if self._receiving_since is not None:
            elapsed = now - self._receiving_since - self._waited_before
            if elapsed >= self._patience.rate_grace_seconds and self._received_octets < (
                self._patience.minimum_rate * elapsed
            ):
                return Overdue.RATE
        return None

    def next_check(self, now: float) -> float:
        """Tell when `overdue` should be asked again: no patience that begins before then can run out earlier."""
        moments = [now + self._shortest]
        if self._waiting_until is not None:
            moments.append(self._waiting_until)
        if now < self._session_until:
            moments.append(self._session_until)
        if self._receiving_since is not None:
            rate_counts_from = self._receiving_since + self._waited_before + self._patience.rate_grace_seconds
            moments.append(rate_counts_from if rate_counts_from > now else now + RATE_INTERVAL)
        return min(moments)
