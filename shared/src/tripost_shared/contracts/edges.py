"""What the workers of all edges tell each other, and themselves: core NATS, nothing is stored."""

from typing import Final

import msgspec

SESSIONS_SUBJECT: Final = "edge.v1.sessions"
FAILED_LOGINS_SUBJECT: Final = "edge.v1.failed-logins"
EDGES_SUBJECTS: Final = "edge.v1.*"


class NetworkSessions(msgspec.Struct, frozen=True, array_like=True):
    """Of one client network in one worker: sessions open now, and begun since it was last told of."""

    open: int
    begun: int = 0


class SessionsTold(msgspec.Struct, frozen=True):
    """What has changed in one worker, the `number`-th time that it tells; or all, where it is the `whole`.

    `networks` by the network that is in one client's hands (an IPv4 address, of IPv6 the first 64 bits), and `*` for
    all sessions, of clients that are not counted by their network too. `ends`: the worker is gone.
    """

    worker: str
    number: int
    networks: dict[str, NetworkSessions]
    whole: bool = False
    ends: bool = False


class FailedLogin(msgspec.Struct, frozen=True):
    """A guess of a network that has failed for the first time in one worker.

    `mark` is as much of the guess's digest as tells a few apart, and too little to find the password by.
    """

    worker: str
    network: str
    mark: int
