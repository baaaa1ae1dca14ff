"""An SMTP client on the event loop that costs little: octets made beforehand, replies counted and not copied."""

import asyncio
import ssl
from typing import Final, cast

from bench.content import CLIENT_NAME, MAILBOX, SENDER, compose

MAIL: Final = f"MAIL FROM:<{SENDER}>\r\n".encode()
RCPT: Final = f"RCPT TO:<{MAILBOX}>\r\n".encode()
DATA: Final = b"DATA\r\n"
EHLO: Final = f"EHLO {CLIENT_NAME}\r\n".encode()
SESSIONS_OF_AN_ADDRESS: Final = 100
CONNECT_FROM: Final = 1 << 8  # the first of the source addresses: 127.0.1.0


class UnexpectedReply(Exception):
    """The server did not say what the benchmark needs."""


def prepared(size_octets: int) -> bytes:
    """Give a message as it goes over the wire after 354. No line of it begins with a dot."""
    return compose(size_octets) + b".\r\n"


def source_address(number: int) -> str:
    """Give the n-th session's address: a hundred sessions have one, all of them are loopback's."""
    place = CONNECT_FROM + number // SESSIONS_OF_AN_ADDRESS + 1
    return f"127.{place >> 16}.{place >> 8 & 255}.{place & 255}"


def complete_replies(octets: bytes) -> list[bytes]:
    """Give the last lines of the replies that are complete (RFC 5321 §4.2.1)."""
    return [line for line in octets.split(b"\r\n")[:-1] if line[3:4] == b" "]


class Conversation(asyncio.Protocol):
    """One session, seen from its client."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._arrival: asyncio.Future[None] | None = None
        self._is_lost = False
        self._offers_pipelining = False

    @classmethod
    async def open(cls, port: int, *, tls: ssl.SSLContext | None, address: str = "127.0.0.1") -> "Conversation":
        """Connect, hear 220, say EHLO; STARTTLS and EHLO again where a context is given. Raises UnexpectedReply."""
        loop = asyncio.get_running_loop()
        _, conversation = await loop.create_connection(cls, "127.0.0.1", port, local_addr=(address, 0))
        await conversation.expect(b"220")
        await conversation.ehlo()
        if tls is not None:
            await conversation.start_tls(tls)
            await conversation.ehlo()
        return conversation

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        self._wake()

    def write(self, octets: bytes) -> None:
        """Send octets."""
        if self._transport is not None:
            self._transport.write(octets)

    async def ehlo(self) -> None:
        """Say EHLO; learn whether commands may be pipelined."""
        self.write(EHLO)
        self._offers_pipelining = b"PIPELINING" in await self.expect(b"250")

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Say STARTTLS and do the handshake."""
        self.write(b"STARTTLS\r\n")
        await self.expect(b"220")
        if self._transport is None:
            raise UnexpectedReply("no connection")
        self._transport = await self._loop.start_tls(self._transport, self, context)

    async def send(self, content: bytes, *, pipelining: bool = False) -> None:
        """Send a message (as `prepared`). Raises UnexpectedReply."""
        if pipelining and self._offers_pipelining:
            self.write(MAIL + RCPT + DATA)
            await self.expect(b"250", b"250", b"354")
        else:
            for command, code in ((MAIL, b"250"), (RCPT, b"250"), (DATA, b"354")):
                self.write(command)
                await self.expect(code)
        self.write(content)
        await self.expect(b"250")

    async def quit(self) -> None:
        """Say QUIT, hear 221 and close."""
        self.write(b"QUIT\r\n")
        await self.expect(b"221")
        self.close()

    def close(self) -> None:
        """Close, whatever is said."""
        if self._transport is not None:
            self._transport.close()

    @property
    def is_open(self) -> bool:
        """Whether the server has neither closed nor said a word that was not asked for."""
        return not self._is_lost and not self._received

    async def expect(self, *codes: bytes) -> bytes:
        """Wait for the next replies, which must be these and no more; gives their octets. Raises UnexpectedReply."""
        while len(last_lines := complete_replies(self._received)) < len(codes):
            if self._is_lost:
                raise UnexpectedReply(f"closed after {self._received!r}; {codes!r} was expected")
            self._arrival = self._loop.create_future()
            await self._arrival
        octets, self._received = self._received, b""
        if tuple(line[:3] for line in last_lines) != codes:
            raise UnexpectedReply(f"{octets!r}; {codes!r} was expected")
        return octets

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
