"""A client that loses nothing: many messages over a few connections, each sent again until it got its 250.

Each message has a number and the hash of its text in its header, so that what arrived can be told: which, how often,
and whether whole.
"""

import asyncio
import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

REPLY_WITHIN: Final = 30.0
PAUSE_SECONDS: Final = 0.1
NUMBER: Final = re.compile(rb"^X-Number: (\d+)\r?$", re.MULTILINE)
DIGEST: Final = re.compile(rb"^X-Digest: ([0-9a-f]+)\r?$", re.MULTILINE)


class NotTaken(Exception):
    """The server said something else than was hoped for; the message is sent again."""


def numbered_message(number: int) -> bytes:
    """Compose a message of about 4 KB, lines ended by CRLF."""
    body = b"".join(
        b"%06d line %02d of a message whose every octet is checked\r\n" % (number, line) for line in range(64)
    )
    header = b"From: ann@remote.example\r\nSubject: number %d\r\nX-Number: %d\r\nX-Digest: %s\r\n\r\n"
    return header % (number, number, hashlib.sha256(body).hexdigest().encode()) + body


@dataclass(frozen=True, slots=True)
class Arrived:
    """What became of the messages sent."""

    lost: tuple[int, ...]
    damaged: tuple[int, ...]
    extra_copies: int


def look_at(messages: Iterable[bytes], sent: Iterable[int]) -> Arrived:
    """Compare a mailbox with the numbers that got a 250."""
    copies: Counter[int] = Counter()
    damaged: list[int] = []
    for message in messages:
        number, digest = NUMBER.search(message), DIGEST.search(message)
        assert number, "a message that this client did not send"
        assert digest, "a message without its digest"
        copies[int(number[1])] += 1
        body = message.replace(b"\r\n", b"\n").partition(b"\n\n")[2].replace(b"\n", b"\r\n")
        if hashlib.sha256(body).hexdigest().encode() != digest[1]:
            damaged.append(int(number[1]))
    lost = tuple(number for number in sent if not copies[number])
    return Arrived(lost, tuple(damaged), sum(copies.values()) - len(copies))


@dataclass(slots=True)
class LoadClient:
    """Sends numbered messages. `taken` holds those with a 250, `retries` counts the others' attempts."""

    port: int
    recipient: str
    connections: int = 10
    taken: set[int] = field(default_factory=set)
    retries: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    async def send(self, numbers: Iterable[int]) -> None:
        """Send all; returns when each got its 250."""
        waiting = list(reversed(list(numbers)))
        await asyncio.gather(*(self._work(waiting) for _ in range(self.connections)))

    async def _work(self, waiting: list[int]) -> None:
        connection: _Connection | None = None
        while waiting:
            number = waiting.pop()
            while number not in self.taken:
                try:
                    connection = connection or await _Connection.open(self.port)
                    await connection.send(self.recipient, numbered_message(number))
                    self.taken.add(number)
                except (NotTaken, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                    self.retries += 1
                    self.refusals[str(error)[:60]] += 1
                    if connection is not None:
                        connection.close()
                    connection = None
                    await asyncio.sleep(PAUSE_SECONDS)
        if connection is not None:
            connection.close()


class _Connection:
    """An SMTP session as plain as can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        async with asyncio.timeout(REPLY_WITHIN):
            connection = cls(*await asyncio.open_connection("127.0.0.1", port))
        await connection._expect("2")
        await connection._ask(b"EHLO client.remote.example", "2")
        return connection

    async def send(self, recipient: str, message: bytes) -> None:
        """Hand a message over; returns when the server has taken it."""
        await self._ask(b"MAIL FROM:<ann@remote.example>", "2")
        await self._ask(b"RCPT TO:<%s>" % recipient.encode(), "2")
        await self._ask(b"DATA", "3")
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        await self._ask(stuffed + b".", "2")

    def close(self) -> None:
        """Cut the connection."""
        with contextlib.suppress(RuntimeError):
            self._writer.transport.abort()

    async def _ask(self, command: bytes, kind: str) -> None:
        self._writer.write(command + b"\r\n")
        await self._expect(kind)

    async def _expect(self, kind: str) -> None:
        while True:
            async with asyncio.timeout(REPLY_WITHIN):
                line = (await self._reader.readline()).decode()
            if not line:
                raise NotTaken("the connection was closed")
            if line[3:4] != "-":
                break
        if not line.startswith(kind):
            raise NotTaken(line.strip())
