"""A next hop that does as a test's script says: replies per step, silence, a cut connection, TLS; it records octets.

    async with NextHop(replies={"RCPT": "550 5.1.1 No such user"}, drop_at={"content"}) as hop:
        ... relay to 127.0.0.1, hop.port ...
        assert hop.transactions[0].recipients == ["bob@dest.example"]

Steps are `greeting`, the commands in upper case (`EHLO`, `HELO`, `STARTTLS`, `MAIL`, `RCPT`, `DATA`, `RSET`, `QUIT`, …)
and `content`, the moment after the final dot.
"""

import asyncio
import socket
import ssl
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import trustme

from hop_tls import break_handshake, refuse_without_certificate, server_context

Reply = str | Sequence[str] | Callable[[str], str]

USUAL_REPLIES: Final[Mapping[str, str]] = {
    "greeting": "220 hop.example ESMTP",
    "HELO": "250 hop.example",
    "STARTTLS": "220 2.0.0 Go ahead",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 Go ahead",
    "content": "250 2.0.0 Taken",
    "RSET": "250 2.0.0 Ok",
    "NOOP": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}
USUAL_EXTENSIONS: Final = ("PIPELINING", "SIZE 10485760", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
READ_WITHIN: Final = 30.0
DRIP_SECONDS: Final = 0.02


@dataclass(slots=True)
class HopTransaction:
    """What one transaction brought. `content` has no dot-stuffing, `wire` is as it came with the final dot.

    `recipients` are those that were taken. `was_taken`: the final reply was 2yz, whether or not it reached the client.
    """

    mail: str
    connection: int
    tls: bool
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""
    wire: bytes = b""
    was_taken: bool = False


class NextHop:
    """A scripted SMTP server on a loopback port.

    `replies`: a text, a list of texts (one after the other, the last one for good), or a function of the argument.
    A function that raises ConnectionError cuts the connection. `drop_at`: steps at which it is cut instead of a reply.
    `silent_at`: steps that get no reply. `drips_at`: steps whose reply comes an octet at a time, DRIP_SECONDS apart.
    `reads_content`: False for a hop that answers content without reading it, and then says no more.
    `extensions` are the EHLO keywords; a `certificate` adds STARTTLS, and so does `breaks_tls`: its handshake fails.
    `cuts_handshakes`: so many connections, counted down, are cut where the handshake would begin.
    `asks_for_certificate`: the client must show one; with TLS 1.3 it learns that when its own part is done.
    `host` is the address; `port` 0 picks a free one, and the same is used when the hop is started again.
    """

    def __init__(
        self,
        *,
        replies: Mapping[str, Reply] | None = None,
        drop_at: Collection[str] = (),
        silent_at: Collection[str] = (),
        drips_at: Collection[str] = (),
        reads_content: bool = True,
        extensions: Sequence[str] = USUAL_EXTENSIONS,
        certificate: trustme.LeafCert | None = None,
        breaks_tls: bool = False,
        cuts_handshakes: int = 0,
        asks_for_certificate: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.replies = dict(replies or {})
        self.drop_at = set(drop_at)
        self.silent_at = set(silent_at)
        self.drips_at = set(drips_at)
        self.reads_content = reads_content
        self.extensions = list(extensions)
        self.host = host
        self.port = port
        self.connections = 0
        self.commands: list[str] = []
        self.transactions: list[HopTransaction] = []
        self.breaks_tls = breaks_tls
        self.cuts_handshakes = cuts_handshakes
        self.asks_for_certificate = asks_for_certificate
        self._context = server_context(certificate)
        self._given: defaultdict[str, int] = defaultdict(int)
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def taken(self) -> list[HopTransaction]:
        """The transactions that ended with 2yz."""
        return [transaction for transaction in self.transactions if transaction.was_taken]

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is connected."""
        return not self._tasks

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        if not self.reads_content:  # nor does the system for it
            self._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def stop(self) -> None:
        """Listen no more, and cut all connections."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut all connections."""
        for task in self._tasks:
            task.cancel()

    async def __aenter__(self) -> "NextHop":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def wait_until(self, holds: Callable[["NextHop"], bool], within: float = 10.0) -> None:
        """Wait until something holds of the hop; raises TimeoutError."""
        async with asyncio.timeout(within):
            while not holds(self):
                self._changed.clear()
                await self._changed.wait()

    def changed(self) -> None:
        """Wake those who wait."""
        self._changed.set()

    def reply_to(self, step: str, argument: str) -> str:
        """Give the script's reply, or the usual one; lines end with LF in it."""
        if step == "EHLO" and "EHLO" not in self.replies:
            offered = [*self.extensions, *(["STARTTLS"] if self._context or self.breaks_tls else [])]
            lines = ["hop.example", *offered]
            return "\n".join(f"250{' ' if line is lines[-1] else '-'}{line}" for line in lines)
        reply = self.replies.get(step, USUAL_REPLIES.get(step, "502 5.5.1 What?"))
        if callable(reply):
            return reply(argument)
        if isinstance(reply, str):
            return reply
        number = min(self._given[step], len(reply) - 1)
        self._given[step] += 1
        return reply[number]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.changed()
        try:
            async with asyncio.timeout(READ_WITHIN):
                await _HopSession(self, reader, writer, self.connections, self._context).run()
        except (_Drop, ConnectionError, TimeoutError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client's end, or the script's
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            self.changed()


class _Drop(Exception):
    """The script wants the connection cut."""


class _HopSession:
    def __init__(
        self,
        hop: NextHop,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
        context: ssl.SSLContext | None,
    ) -> None:
        self._hop = hop
        self._reader = reader
        self._writer = writer
        self._number = number
        self._context = context
        self._tls = False
        self._transaction: HopTransaction | None = None

    async def run(self) -> None:
        await self._answer("greeting")
        while line := await self._reader.readline():
            command = line.decode().rstrip("\r\n")
            self._hop.commands.append(command)
            self._hop.changed()
            verb, _, argument = command.partition(" ")
            if verb.upper() == "DATA" and "DATA" not in self._hop.replies and not self._has_recipients:
                await self._send("DATA", "503 5.5.1 No recipients")
                continue
            code = await self._answer(verb.upper(), argument)
            await self._follow(verb.upper(), argument, code)
            self._hop.changed()
            if verb.upper() == "QUIT" or code == 421:
                return

    @property
    def _has_recipients(self) -> bool:
        return self._transaction is not None and bool(self._transaction.recipients)

    async def _follow(self, verb: str, argument: str, code: int) -> None:
        if verb == "STARTTLS" and code == 220:
            await self._start_tls()
        elif verb == "MAIL" and code == 250:
            self._transaction = HopTransaction(argument, self._number, self._tls)
            self._hop.transactions.append(self._transaction)
        elif verb == "RCPT" and code == 250 and self._transaction is not None:
            self._transaction.recipients.append(argument.partition("<")[2].rpartition(">")[0])
        elif verb == "DATA" and code == 354:
            await self._take_content()
        elif verb in {"RSET", "EHLO", "HELO"}:
            self._transaction = None

    async def _take_content(self) -> None:
        transaction = self._transaction or HopTransaction("", self._number, self._tls)
        if not self._hop.reads_content:
            await self._send("content", self._hop.reply_to("content", transaction.mail))
            self._writer.write_eof()
            await asyncio.sleep(READ_WITHIN)  # the client gives up first, or the test ends
        lines: list[bytes] = []
        while (line := await self._reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line)
        transaction.wire = b"".join(lines) + b".\r\n"
        transaction.content = b"".join(line[1:] if line.startswith(b".") else line for line in lines)
        reply = self._hop.reply_to("content", transaction.mail)
        transaction.was_taken = reply.startswith("2") and self._has_recipients
        self._hop.changed()
        await self._send("content", reply)
        self._transaction = None

    async def _start_tls(self) -> None:
        if self._hop.cuts_handshakes > 0:
            self._hop.cuts_handshakes -= 1
            raise _Drop
        if self._hop.breaks_tls or self._context is None:
            await break_handshake(self._writer)
            raise _Drop
        if self._hop.asks_for_certificate:
            await refuse_without_certificate(self._reader, self._writer, self._context)
            raise _Drop
        await self._writer.start_tls(self._context)
        self._tls = True

    async def _answer(self, step: str, argument: str = "") -> int:
        reply = self._hop.reply_to(step, argument)
        await self._send(step, reply)
        return int(reply[:3])

    async def _send(self, step: str, reply: str) -> None:
        if step in self._hop.drop_at:
            raise _Drop
        if step in self._hop.silent_at:
            await asyncio.sleep(READ_WITHIN)  # the client gives up first, or the test ends
        octets = reply.replace("\n", "\r\n").encode() + b"\r\n"
        pieces = [octets[at : at + 1] for at in range(len(octets))] if step in self._hop.drips_at else [octets]
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(DRIP_SECONDS)
