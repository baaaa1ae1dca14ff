"""One TCP connection to a next hop: replies in, octets out, TLS in between; a time-out on every wait."""

import asyncio
import os
import ssl
from typing import Final, cast

from tripost_domains.delivery.relay.reply import MalformedReply, RemoteReply, ReplyParser

MAX_UNREAD_OCTETS: Final = 256 * 1024  # replies to a burst of commands that nobody has read yet
WRITE_AHEAD_OCTETS: Final = 256 * 1024
TLS_ALERT: Final = b"\x15\x03"  # how a record begins that says why there will be no TLS (RFC 8446 §5.1)


class LinkLost(Exception):
    """The connection is gone, silent for too long, or talks nonsense; the message says which."""


class TlsFailed(Exception):
    """The TLS handshake did not work; the message says why.

    `was_cut`: the connection went, or fell silent, in the middle of it, which a restart of the host does as well; else
    one of the two sides has said that there will be no TLS.
    """

    def __init__(self, because: str, *, was_cut: bool) -> None:
        super().__init__(because)
        self.was_cut = was_cut


class Link(asyncio.Protocol):
    """A connection as a protocol of its own: asyncio's streams would hide octets that came before TLS began."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._below_tls: asyncio.Transport | None = None
        self._replies = ReplyParser()
        self._because = ""  # why it is lost; "" while it is not
        self._is_paused = False
        self._is_proven = True  # False from STARTTLS until the host is heard under TLS
        self._was_refused = False
        self._was_interrupted = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    @staticmethod
    async def connect(address: str, port: int, within: float) -> "Link":
        """Connect to an address; raises LinkLost."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within):
                _, link = await loop.create_connection(Link, address, port)
        except TimeoutError as error:
            raise LinkLost(f"no answer in {within:g} s") from error
        except OSError as error:
            raise LinkLost(_reason(error)) from error
        return link

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and nothing has come that was not asked for."""
        return not self._because and self._replies.is_empty

    @property
    def was_interrupted(self) -> bool:
        """Whether something came, since `require_quiet`, while octets of ours were still on this machine."""
        return self._was_interrupted

    @property
    def handshake_was_refused(self) -> bool:
        """Whether the host ended the handshake after our part of it: with TLS 1.3 that shows at the first read only."""
        return self._was_refused

    async def reply(self, within: float) -> RemoteReply:
        """Wait for the next reply, all of it; raises LinkLost. One that has come is given, whatever came after it."""
        if (reply := self._next()) is not None:
            return reply
        try:
            async with asyncio.timeout(within):
                while reply is None:
                    self._require_open()
                    self._reader = asyncio.get_running_loop().create_future()
                    try:
                        await self._reader
                    finally:
                        self._reader = None
                    reply = self._next()
        except TimeoutError as error:
            if (reply := self._next()) is not None:  # it came at the last moment
                return reply
            self.close()
            raise LinkLost(f"no reply in {within:g} s") from error
        return reply

    def pending_reply(self) -> RemoteReply | None:
        """Give a reply that has come already, if there is a whole one."""
        try:
            return self._next()
        except LinkLost:
            return None

    def require_quiet(self) -> None:
        """Make sure that what comes next can be an answer to what is sent next.

        Raises LinkLost, the connection being cut, when something has come already: whoever answers before he is asked
        would have the answers to all that follows shifted, and a 250 of his would stand for a message he has not seen.
        """
        self._require_open()
        if not self._replies.is_empty:
            self.close()
            raise LinkLost(f"it spoke before it was asked: {self._replies.unread!r}")
        self._was_interrupted = False

    def command(self, octets: bytes) -> None:
        """Send one command, or several that may go together; raises LinkLost."""
        self.require_quiet()
        self.write(octets)

    def write(self, octets: bytes) -> None:
        """Send, or keep to be sent; raises LinkLost."""
        self._require_open()
        if self._transport is not None:
            self._transport.write(octets)

    async def drain(self, within: float) -> None:
        """Wait until there is room to write more, or the host says something: it may take no more of it.

        Raises LinkLost, also when nothing was taken in that time.
        """
        self._require_open()
        if not self._is_paused:
            return
        self._writer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(within):
                await self._writer
        except TimeoutError as error:
            self.close()
            raise LinkLost(f"nothing taken in {within:g} s") from error
        finally:
            self._writer = None
        self._require_open()

    async def start_tls(self, context: ssl.SSLContext, server_name: str | None, within: float) -> None:
        """Begin TLS; raises TlsFailed, and then the connection is of no more use.

        Raises LinkLost when something came in plain text after the reply to STARTTLS: it would be taken for the
        server's words under TLS. That is no fault of the handshake, so it is no reason to go on without TLS.
        """
        if self._replies.unread.startswith(TLS_ALERT):
            self.close()
            raise TlsFailed("it gave up before the handshake", was_cut=False)
        self.require_quiet()
        if self._transport is None:
            raise TlsFailed("connection lost", was_cut=True)
        self._is_proven = False
        self._below_tls = self._transport
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_hostname=server_name, ssl_handshake_timeout=within
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self.close()
            raise TlsFailed(str(error) or type(error).__name__, was_cut=not _is_said(error)) from error
        if transport is None:
            raise TlsFailed("connection lost", was_cut=True)
        self._transport = transport
        transport.set_write_buffer_limits(WRITE_AHEAD_OCTETS)

    def close(self) -> None:
        """End it at once, with what is still to be sent thrown away."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
        self._end("closed by us")

    def say_goodbye(self) -> None:
        """Send QUIT and close without waiting for the reply; the host has been served well enough."""
        if not self._because and self._transport is not None:
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
        self._end("closed by us")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport (asyncio's call)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._transport.set_write_buffer_limits(WRITE_AHEAD_OCTETS)

    def data_received(self, data: bytes) -> None:
        """Collect octets (asyncio's call)."""
        self._is_proven = True
        self._was_interrupted = self._was_interrupted or self._has_unsent()
        self._replies.feed(data)
        _wake(self._writer)
        if self._replies.unread_octets > MAX_UNREAD_OCTETS:
            self._end("too many octets that nobody asked for")
            self.close()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """Note that the host has closed (asyncio's call)."""
        self._end("closed by the host")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end (asyncio's call)."""
        self._was_refused = not self._is_proven and isinstance(exc, ssl.SSLError)
        self._end("closed by the host" if exc is None else _reason(exc))

    def pause_writing(self) -> None:
        """Note that enough is on its way (asyncio's call)."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Note that there is room again (asyncio's call)."""
        self._is_paused = False
        _wake(self._writer)

    def _next(self) -> RemoteReply | None:
        try:
            return self._replies.next()
        except MalformedReply as error:
            self.close()
            raise LinkLost(str(error)) from error

    def _has_unsent(self) -> bool:
        """Whether the system has not taken yet all that was written."""
        layers = (self._transport, self._below_tls)
        return any(layer is not None and layer.get_write_buffer_size() > 0 for layer in layers)

    def _require_open(self) -> None:
        if self._because:
            raise LinkLost(self._because)

    def _end(self, because: str) -> None:
        self._because = self._because or because
        _wake(self._reader)
        _wake(self._writer)


def _reason(error: Exception) -> str:
    """Say what happened in the system's own words; asyncio's name addresses that are known already."""
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    return os.strerror(number) if number else str(error) or type(error).__name__


def _is_said(error: Exception) -> bool:
    """Tell whether TLS itself found that it does not work, be it by an alert; what only ends a connection is none."""
    return isinstance(error, ssl.SSLError) and not isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    )


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
