"""Whether all clients seem to have one address: then something between us and them hides who they are."""

from typing import Final

from tripost_edge.session.session import Session
from tripost_shared.clock import Clock
from tripost_shared.mail.client import ListenerKind

SESSIONS: Final = 50
SECONDS: Final = 60.0  # that they must take together: one host may well have that many at once


class OneAddress:
    """Follows the sessions of strangers on MX listeners, where servers of the whole Internet are to be expected.

    Those of this machine, of a proxy or announced by one, and those that an access rule allows tell nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._address = ""
        self._may_relay = False
        self._sessions = 0  # in a row that had the address
        self._since = self._last = 0.0

    def note(self, session: Session, *, is_loopback: bool) -> None:
        """Take a session into account that has begun, whatever becomes of it."""
        client = session.client
        if client.kind is not ListenerKind.MX or client.announced_by_proxy or is_loopback:
            return
        if session.is_allowed or session.client_is_proxy:
            return
        now = self._clock.monotonic()
        if client.address != self._address:
            self._address, self._sessions, self._since = client.address, 0, now
        self._sessions += 1
        self._last = now
        self._may_relay = client.relay_permitted

    @property
    def trouble(self) -> str:
        """Say that they all have one address, and what to do; "" while they do not."""
        if self._sessions < SESSIONS or self._last - self._since < SECONDS:
            return ""
        relay = " It may relay without a login, so perhaps everybody may." if self._may_relay else ""
        return (
            f"all of the last {self._sessions} clients came from {self._address}: a proxy or NAT may hide who they "
            "are, so that limits, bans, block lists and access rules are about all of them at once."
            f"{relay} Have it send the PROXY protocol (TRIPOST_EDGE_PROXY_LISTENER, "
            "TRIPOST_EDGE_PROXY_TRUSTED_NETWORKS), or keep their "
            "addresses; if it is one client indeed, say so by an access rule that allows it"
        )
