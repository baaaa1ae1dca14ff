"""Asking DNS servers: connected UDP sockets, TCP for what is truncated, fail-over to the next server."""

import asyncio
import secrets
import socket
import struct
from collections.abc import Sequence
from typing import Final

import structlog

from tripost_shared.dns.port import DnsAnswer, Status
from tripost_shared.dns.silence import Silence
from tripost_shared.dns.system import parse_server
from tripost_shared.dns.wire import (
    FORMERR,
    NOTIMP,
    ROOT_SERVERS,
    Malformed,
    Query,
    Reading,
    is_truncated,
    rcode_of,
    read,
)

log = structlog.get_logger()

TRY_SECONDS: Final = 0.8
ROUNDS: Final = 3
PAUSE_SECONDS: Final = 0.05
SHORTEST_SECONDS: Final = 0.001
PROBE_SECONDS: Final = 2.0
DEAD_SECONDS: Final = 10.0  # a server that was silent is asked last for so long
SOCKETS_A_SERVER: Final = 4  # source ports that an attacker must guess among (RFC 5452 §4.5) …
QUESTIONS_A_SOCKET: Final = 4096  # … and each is given up after so many questions
MOST_OCTETS: Final = 4096
RECEIVE_BUFFER_OCTETS: Final = 1 << 20
READS_A_TURN: Final = 64


class NoReply(Exception):
    """No server answered; the message says why."""


class Exchange:
    """Asks the servers in their order; those that were silent lately come last."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = [_Server(*parse_server(server)) for server in servers]
        self._silence = Silence(self._is_answered)

    @property
    def trouble(self) -> str:
        """Why nothing is answered, not even what any resolver knows; "" when all is well, or nothing was asked."""
        return self._silence.trouble

    async def ask(self, query: Query, within_seconds: float) -> Reading:
        """Give what the first server says that knows; FAILED when all refuse. Raises NoReply."""
        asked_at = asyncio.get_running_loop().time()
        try:
            reading = await self._ask(query, within_seconds)
        except NoReply as error:
            self._silence.note(asked_at, str(error))
            raise
        self._silence.end()
        return reading

    async def _is_answered(self) -> bool:
        """Whether a server says anything about what each of them has at hand."""
        try:
            await self._ask(ROOT_SERVERS, PROBE_SECONDS)
        except NoReply:
            return False
        return True

    async def _ask(self, query: Query, within_seconds: float) -> Reading:
        loop = asyncio.get_running_loop()
        end = loop.time() + within_seconds
        because = "no time left" if self._servers else "no DNS server is set"
        for _ in range(ROUNDS):
            refused: Reading | None = None
            for server in sorted(self._servers, key=_Server.dead_until_now):
                left = end - loop.time()
                if left <= SHORTEST_SECONDS:
                    break
                try:
                    reading = await server.ask(query, min(left, TRY_SECONDS))
                except NoReply as error:
                    because = str(error)
                    continue
                if reading.answer.status is not Status.FAILED:
                    return reading
                refused = reading
            if refused is not None:
                return refused
            await asyncio.sleep(max(0.0, min(PAUSE_SECONDS, end - loop.time())))  # if nobody listens, not for long
        raise NoReply(because)

    def close(self) -> None:
        """Close all sockets."""
        self._silence.close()
        for server in self._servers:
            server.close()
        self._servers = []


class _Server:
    """One DNS server."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._channels: list[_Channel | None] = [None] * SOCKETS_A_SERVER
        self._dead_until = 0.0

    def dead_until_now(self) -> float:
        """Sort key: 0 while the server counts as alive."""
        return self._dead_until if self._dead_until > asyncio.get_running_loop().time() else 0.0

    async def ask(self, query: Query, within_seconds: float) -> Reading:
        """Ask by UDP, then by TCP if the answer is truncated; raises NoReply."""
        end = asyncio.get_running_loop().time() + within_seconds
        answer = await self._ask_by_udp(query, end)
        if is_truncated(answer):
            answer = await self._ask_by_tcp(query, end)
        try:
            return read(query, answer)
        except Malformed as error:
            return Reading(DnsAnswer(Status.FAILED, because=f"malformed answer from {self._host}: {error}"))

    async def _ask_by_udp(self, query: Query, end: float) -> bytes:
        """Ask, and note whether the server is alive."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if 0 < self._dead_until <= now:
            self._dead_until = now + TRY_SECONDS  # this question tries it; others go elsewhere until its end
        try:
            answer = await self._channel().ask(query, end - now, edns=True)
            if rcode_of(answer) in {FORMERR, NOTIMP}:  # RFC 6891 §7: a server that knows no EDNS
                answer = await self._channel().ask(query, end - loop.time(), edns=False)
        except (NoReply, OSError) as error:
            self._dead_until = loop.time() + DEAD_SECONDS
            raise NoReply(str(error)) from error
        self._dead_until = 0.0
        return answer

    def close(self) -> None:
        """Close all sockets."""
        for channel in self._channels:
            if channel is not None:
                channel.close()

    def _channel(self) -> "_Channel":
        number = secrets.randbelow(SOCKETS_A_SERVER)
        channel = self._channels[number]
        if channel is None or channel.is_over:
            if channel is not None:
                channel.retire()
            channel = self._channels[number] = _Channel(self._host, self._port)
        return channel

    async def _ask_by_tcp(self, query: Query, end: float) -> bytes:
        """Ask once by a connection of its own (RFC 7766); says nothing on whether the server is alive."""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout_at(end):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                message = query.octets(secrets.randbits(16))
                writer.write(struct.pack("!H", len(message)) + message)
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                answer = await reader.readexactly(length)
        except TimeoutError as error:
            raise NoReply(f"no answer by TCP in time from {self._host}") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise NoReply(f"{self._host} ended the TCP connection, or takes none") from error
        finally:
            if writer is not None:
                writer.close()
        if answer[:2] != message[:2] or not query.is_answered_by(answer) or is_truncated(answer):
            raise NoReply(f"{self._host} answered something else, or cut short what it sent by TCP")
        return answer


class _Channel:
    """One connected UDP socket: the kernel lets in what comes from that server's port only.

    It is over after the first error or silence: libuv hears nothing more of a socket once an ICMP message has told it
    that nobody listens, and answers would lie there unread for ever.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._waiting: dict[bytes, tuple[Query, asyncio.Future[bytes]]] = {}
        self._asked = 0
        self._has_failed = False
        self._is_retired = False
        self._host = host
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
            self._socket.connect((host, port))
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)
        except OSError:
            self._socket.close()
            raise

    @property
    def is_over(self) -> bool:
        """Whether a new socket, and port, is due."""
        return self._has_failed or self._asked >= QUESTIONS_A_SOCKET

    async def ask(self, query: Query, within_seconds: float, *, edns: bool) -> bytes:
        """Ask once; raises NoReply."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        message = self._new_message(query, edns=edns)
        number = message[:2]
        self._waiting[number] = (query, future)
        self._asked += 1
        timer = loop.call_later(max(0.0, within_seconds), self._expire, future)
        try:
            self._socket.send(message)
            return await future
        except OSError as error:
            self._has_failed = True
            raise NoReply(f"{self._host}: {error.strerror}") from error
        finally:
            timer.cancel()
            self._waiting.pop(number, None)
            if self._is_retired and not self._waiting:
                self.close()

    def retire(self) -> None:
        """Close the socket once nobody waits for an answer on it."""
        self._is_retired = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close the socket; who still waits gets NoReply."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        self._fail("closed")

    def _new_message(self, query: Query, *, edns: bool) -> bytes:
        """Give the message with an id that nobody waits for."""
        message = query.octets(secrets.randbits(16), edns=edns)
        while message[:2] in self._waiting:
            message = query.octets(secrets.randbits(16), edns=edns)
        return message

    def _expire(self, future: "asyncio.Future[bytes]") -> None:
        self._has_failed = True
        if not future.done():
            future.set_exception(NoReply(f"no answer in time from {self._host}"))

    def _readable(self) -> None:
        for _ in range(READS_A_TURN):
            try:
                message = self._socket.recv(MOST_OCTETS)
            except BlockingIOError:
                return
            except OSError as error:  # ICMP says that nobody listens there
                self._has_failed = True
                self._fail(error.strerror or type(error).__name__)
                return
            query, future = self._waiting.get(message[:2], (None, None))
            if query is not None and future is not None and not future.done() and query.is_answered_by(message):
                future.set_result(message)

    def _fail(self, because: str) -> None:
        for _, future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(NoReply(f"{self._host}: {because}"))
