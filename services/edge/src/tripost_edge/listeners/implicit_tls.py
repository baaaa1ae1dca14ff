"""TLS from the first octet (RFC 8314 §3.3): its clients count from their connection on.

A server of asyncio tells of a client only once the handshake is done. Until then nothing would count it, and clients
that connect and are silent would take the descriptors of all listeners. So clients are accepted here. A proxy says who
its client is before TLS.
"""

import asyncio
import socket
from typing import Final

import structlog

from tripost_edge.firewall.networks import plain_address
from tripost_edge.listeners.client_connection import NOT_TRUSTED
from tripost_edge.listeners.context import Context, ListenerProfile, ProfileInForce
from tripost_edge.listeners.proxy_protocol import Announcement, MalformedHeader
from tripost_edge.listeners.proxy_socket import read_header_of
from tripost_edge.listeners.smtp_session import SmtpSession
from tripost_edge.listeners.sockets import BACKLOG
from tripost_shared.mail.client import Client

log = structlog.get_logger()

PAUSE_SECONDS: Final = 1.0  # after a client could not be accepted: no descriptor or no memory is left


class Handshake:
    """A client of whom we know nothing but its connection; the registry sees it as a session."""

    def __init__(self, connection: socket.socket, address: str, listener: ProfileInForce, context: Context) -> None:
        self._connection = connection
        self._address = address
        self._listener = listener
        self._context = context
        self._task: asyncio.Task[None] | None = None
        self._has_begun = False

    def begin(self) -> None:
        """Do the handshake; the session that comes of it takes over the place in the registry."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._end)

    def dismiss(self) -> None:
        """End at once: nothing has been said yet."""
        self.abort()

    def abort(self) -> None:
        """End at once."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        self._has_begun = True
        loop = asyncio.get_running_loop()
        profile = self._listener.current
        try:
            announced = await self._announced(profile) if profile.proxies is not None else None
        except asyncio.CancelledError:
            self._connection.close()
            raise
        except (MalformedHeader, OSError) as error:  # TimeoutError is one
            self._connection.close()
            because = str(error) or "no PROXY header in time"
            log.info("client cut off", client=self._address, listener=profile.name, because=because)
            return
        try:
            await loop.connect_accepted_socket(
                lambda: SmtpSession(loop, self._context, self._listener, instead_of=self, announced=announced),
                self._connection,
                ssl=self._context.tls.context(profile.tls_policy),
                ssl_handshake_timeout=profile.limits.tls_handshake_seconds,
            )
        except OSError as error:
            log.debug("TLS handshake failed", listener=profile.name, because=str(error))

    async def _announced(self, profile: ListenerProfile) -> Announcement:
        """Take the PROXY header off the connection, and no octet more. Raises MalformedHeader, OSError."""
        if profile.proxies is None or not profile.proxies.contain(plain_address(self._address)):
            raise MalformedHeader(NOT_TRUSTED)
        async with asyncio.timeout(profile.limits.proxy_header_seconds):
            return await read_header_of(self._connection)

    def _end(self, task: asyncio.Task[None]) -> None:
        """Give the place back, whatever became of the handshake; a task that is cancelled early runs no line of it."""
        self._context.registry.leave(self)
        if not self._has_begun:
            self._connection.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("TLS handshake broke", listener=self._listener.current.name, exc_info=error)


class ImplicitTlsServer:
    """Accepts clients on a bound socket, as asyncio's Server does; those beyond the limit of sessions are closed.

    `trouble` says why the last client could not be accepted; "" when it could.
    """

    def __init__(self, listener: ProfileInForce, bound: socket.socket, context: Context) -> None:
        self._listener = listener
        self._bound = bound
        self._context = context
        self.trouble = ""
        self._accepting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take clients from now on. Raises OSError."""
        self._bound.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Take no more clients; handshakes and sessions go on."""
        if self._accepting is not None:
            self._accepting.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        with self._bound:
            while True:
                try:
                    connection, peer = await loop.sock_accept(self._bound)
                    self._meet(connection, peer[0])
                except ConnectionAbortedError:
                    continue
                except OSError as error:
                    self._note_trouble(error)
                    await asyncio.sleep(PAUSE_SECONDS)
                except Exception as error:  # an entrance: without it the listener would be deaf for good
                    self._note_trouble(error, exc_info=error)
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    self.trouble = ""

    def _note_trouble(self, error: Exception, **facts: object) -> None:
        """Say what goes wrong; once, however long it lasts."""
        trouble = f"clients cannot be accepted: {error!r}"
        if trouble != self.trouble:
            self.trouble = trouble
            log.error("client not accepted", listener=self._listener.current.name, because=str(error), **facts)

    def _meet(self, connection: socket.socket, address: str) -> None:
        handshake = Handshake(connection, address, self._listener, self._context)
        is_admitted = False
        try:
            place = self._context.place_of(self._listener.current, address)
            is_admitted = not self._is_shut_out(address) and self._context.registry.admit(handshake, place) is None
        finally:
            if not is_admitted:
                connection.close()  # without a word: before TLS the client could read none
        if is_admitted:
            handshake.begin()

    def _is_shut_out(self, address: str) -> bool:
        """Tell whether an access rule refuses the client; who comes through a proxy is not known yet."""
        profile = self._listener.current
        plain = plain_address(address)
        if profile.proxies is not None or self._context.xclient.permits(plain, announced_by_proxy=False):
            return False
        return self._context.stages.access.shuts_out(Client(plain, 0, profile.name, profile.kind))
