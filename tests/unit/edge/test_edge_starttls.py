"""STARTTLS with a client that takes no replies."""

import asyncio
import ssl

import pytest

from edge_world import EdgeWorld
from tripost_edge.listeners import wire
from tripost_edge.listeners.context import ListenerProfile, ProfileInForce
from tripost_edge.listeners.smtp_session import SmtpSession
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.mail.client import ListenerKind


class FullConnection(asyncio.Transport):
    """A connection whose buffer is full once the handshake is to begin."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 40000)})
        self.session: SmtpSession | None = None
        self.said = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said += bytes(data)
        if self.session is not None and b"Ready to start TLS" in bytes(data):
            self.session.pause_writing()

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        """Wait for the buffer, as a real one does."""

    def abort(self) -> None:
        """See above."""


async def test_it_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.1)
    world = EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    profile = ListenerProfile(
        "mx", ListenerKind.MX, limits=EdgeLimits(command_timeout_seconds=0.1, greeting_delay_seconds=0)
    )
    session = SmtpSession(asyncio.get_running_loop(), world.edge.context, ProfileInForce(profile))
    connection = FullConnection()
    connection.session = session
    session.connection_made(connection)
    session.data_received(b"EHLO c\r\nSTARTTLS\r\n")
    await world.until_sessions(0)
    assert b"220 2.0.0 Ready to start TLS\r\n" in connection.said
    assert connection.said.splitlines()[-1].startswith(b"421 4.4.2 ")
