"""A whole SMTP session under fuzzing: octets in pieces, without a network; nothing may break, hang, or grow."""

import asyncio
import re
import ssl
from typing import Any, Final

from structlog.testing import capture_logs

from edge_world import EdgeWorld
from fuzz.targets import CUT
from spooled import is_clean, see_that_it_is_clean
from tripost_edge.firewall.networks import Networks
from tripost_edge.listeners.context import ListenerProfile, ProfileInForce
from tripost_edge.listeners.smtp_session import SmtpSession
from tripost_edge.listeners.wire import PAUSE_ABOVE_OCTETS, SessionOver
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.contracts.listeners import TlsMode
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.mail.client import ListenerKind

MOST_TURNS: Final = 20_000  # of the event loop, for one session
LIMITS: Final = EdgeLimits(greeting_delay_seconds=0, error_delay_seconds=0, auth_failure_delay_seconds=0)
PROFILES: Final = (
    ListenerProfile("mx", ListenerKind.MX, limits=LIMITS),
    ListenerProfile("submissions", ListenerKind.SUBMISSION, tls=TlsMode.IMPLICIT, limits=LIMITS),
    ListenerProfile("proxy", ListenerKind.MX, proxies=Networks(["192.0.2.0/24"]), limits=LIMITS),
)

_REPLIES: Final = re.compile(rb"(?:[2-5]\d\d[ -][\x20-\x7e]{0,506}\r\n)*")


class Sessions:
    """Runs sessions one after the other, in an event loop of its own; the other tiers answer at once."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._faults: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self._faults.append(context))
        self._world = self._loop.run_until_complete(_a_world())

    def run(self, octets: bytes) -> int:
        """Send octets to a session, cut into pieces, and close; fails where something breaks.

        The first octet chooses the listener. Gives how many messages came of it.
        """
        kind, octets = octets[:1], octets[1:]
        with capture_logs() as lines:
            profile = PROFILES[kind[0] % len(PROFILES) if kind else 0]
            messages = self._loop.run_until_complete(self._run(profile, octets.split(CUT)))
        broken = [entry for entry in lines if entry["log_level"] in {"error", "critical"}]
        assert not broken, broken
        assert not self._faults, self._faults
        return messages

    def close(self) -> None:
        """End the event loop."""
        self._loop.close()

    async def _run(self, profile: ListenerProfile, pieces: list[bytes]) -> int:
        world = self._world
        session = _Session(asyncio.get_running_loop(), world.edge.context, ProfileInForce(profile))
        connection = _Connection(session, is_encrypted=profile.is_tls_first)
        session.connection_made(connection)
        for piece in [*pieces, None]:
            await connection.until_it_reads()
            if piece is None:
                session.eof_received()
            else:
                session.data_received(piece)
                assert len(session._inbox) <= PAUSE_ABOVE_OCTETS + len(piece)
            await asyncio.sleep(0)
        for _ in range(MOST_TURNS):
            if not len(world.edge.registry):
                break
            await asyncio.sleep(0)
        assert not len(world.edge.registry), "the session does not end"
        assert _REPLIES.fullmatch(connection.written), connection.written
        stored, messages = world.store._objects, world.spooled
        for message in messages:
            see_that_it_is_clean(message)
            if message.content.stored:
                assert is_clean(stored.pop(message.content.stored)[0])
        assert not stored, "content was left behind"
        for kept in (world.spool._kept, world.spool._seen, world.log.events, world.tiers.asked):
            kept.clear()
        return len(messages)


async def _a_world() -> EdgeWorld:
    unlimited: dict[str, Any] = {
        "auth_failures_per_network": 0,
        "sessions_per_network": 0,
        "refusals_told_per_network": 0,
    }
    world = EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), inline_octets=256, **unlimited)
    world.edge.take_config(EdgeConfig(revision=1, xclient_networks=("192.0.2.0/24",)))
    world.tiers.kinds.update({"a@b.example": RecipientKind.LOCAL})
    return await world.serve()


class _Session(SmtpSession):
    """A session whose client begins no TLS handshake after STARTTLS."""

    async def start_tls(self) -> None:
        raise SessionOver(None, because="no handshake here")


class _Connection(asyncio.Transport):
    """A connection without a network; what is written is kept."""

    def __init__(self, session: SmtpSession, *, is_encrypted: bool) -> None:
        super().__init__({"peername": ("192.0.2.7", 40_000), "ssl_object": _Tls() if is_encrypted else None})
        self.written = b""
        self._session = session
        self._reads = asyncio.Event()
        self._reads.set()
        self._is_closed = False

    async def until_it_reads(self) -> None:
        async with asyncio.timeout(5):
            await self._reads.wait()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._reads.clear()

    def resume_reading(self) -> None:
        self._reads.set()

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._reads.set()
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().call_soon(self._session.connection_lost, None)

    def abort(self) -> None:
        self.close()


class _Tls:
    """TLS, as far as a session looks at it."""

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)

    def shared_ciphers(self) -> None:
        return None
