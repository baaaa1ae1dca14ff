"""A client that pipelines, and is slow to take the replies."""

import asyncio
import ssl

from edge_world import EdgeWorld
from silent_transport import SilentTransport
from tripost_edge.listeners.context import ListenerProfile, ProfileInForce
from tripost_edge.listeners.smtp_session import SmtpSession
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.mail.client import ListenerKind


class SlowConnection(SilentTransport):
    """A connection whose buffer is full after each write, until the test says otherwise."""

    def __init__(self, session: SmtpSession) -> None:
        super().__init__(session)
        self._written: asyncio.Queue[bytes] = asyncio.Queue()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.session.pause_writing()
        self._written.put_nowait(bytes(data))

    async def next_write(self) -> bytes:
        async with asyncio.timeout(5):
            return await self._written.get()


async def test_who_is_held_back_and_takes_no_last_reply_is_not_waited_for_without_end() -> None:
    world = EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    limits = EdgeLimits(greeting_delay_seconds=0, command_timeout_seconds=0.2)
    session = SmtpSession(
        asyncio.get_running_loop(),
        world.edge.context,
        ProfileInForce(ListenerProfile("mx", ListenerKind.MX, limits=limits)),
    )
    connection = SlowConnection(session)
    session.connection_made(connection)
    await connection.next_write()
    session.resume_writing()
    session.tarpit_seconds = 0.001
    session.data_received(b"QUIT\r\n")
    assert (await connection.next_write()).startswith(b"221 ")
    await world.until_sessions(0)


async def test_what_arrives_while_it_takes_none_is_answered_once_it_does() -> None:
    """Nothing more may come: the client has said all, and waits."""
    world = EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    session = SmtpSession(
        asyncio.get_running_loop(),
        world.edge.context,
        ProfileInForce(ListenerProfile("mx", ListenerKind.MX, limits=EdgeLimits(greeting_delay_seconds=0))),
    )
    connection = SlowConnection(session)
    session.connection_made(connection)
    assert (await connection.next_write()).startswith(b"220 ")
    session.data_received(b"NOOP\r\n")
    session.resume_writing()
    assert await connection.next_write() == b"250 2.0.0 OK\r\n"
    session.data_received(b"QUIT\r\n")
    session.resume_writing()
    assert (await connection.next_write()).startswith(b"221 ")
    await world.until_sessions(0)
