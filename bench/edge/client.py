"""The clients of the benchmark, a process of its own: `python -m bench.edge.client` obeys orders on standard input."""

import asyncio
import itertools
import resource
import socket
import ssl
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
import uvloop

from bench.content import CLIENT_NAME
from bench.edge.conversation import DATA, MAIL, RCPT, Conversation, UnexpectedReply, prepared, source_address
from bench.edge.orders import WITHIN_SECONDS, Done, Drip, Failed, Hold, Order, Release, Send, Target, UseHeld, Visit

OPENED_AT_ONCE: Final = 50
VISIT_TIMEOUT_SECONDS: Final = 10


class Clients:
    """Obeys one order after the other."""

    def __init__(self) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE
        self._held: list[Conversation] = []
        self._dripping: asyncio.Task[None] | None = None

    async def obey(self, order: Order) -> Done | Failed:
        """Do what is ordered, in time."""
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                return await self._do(order)
        except TimeoutError:
            return Failed(f"not done within {WITHIN_SECONDS:.0f} s: {type(order).__name__}")
        except (OSError, UnexpectedReply) as error:
            return Failed(f"{type(order).__name__}: {error}")

    async def _do(self, order: Order) -> Done:
        match order:
            case Send():
                return await self._send(order)
            case Hold():
                return await self._hold(order)
            case UseHeld():
                return await self._use_held(order)
            case Drip():
                return await self._drip(order)
            case Release():
                return self._release()
            case Visit():
                return Done(order.sessions, tuple(_visit(order.target.port) for _ in range(order.sessions)))

    async def _send(self, order: Send) -> Done:
        content = prepared(order.size_octets)
        lengths = [order.messages_per_session] * (order.messages // order.messages_per_session)

        async def session(number: int) -> None:
            conversation = await self._open(order.target)
            for _ in range(lengths[number]):
                await conversation.send(content, pipelining=order.pipelining)
            await conversation.quit()

        await _some_at_a_time(session, len(lengths), order.sessions_at_once)
        return Done(sum(lengths))

    async def _hold(self, order: Hold) -> Done:
        before = len(self._held)

        async def session(number: int) -> None:
            self._held.append(await self._open(order.target, source_address(before + number)))

        await _some_at_a_time(session, order.sessions, OPENED_AT_ONCE)
        return Done(self._open_now())

    async def _use_held(self, order: UseHeld) -> Done:
        content = prepared(order.size_octets)
        await _some_at_a_time(lambda number: self._held[number].send(content), len(self._held), OPENED_AT_ONCE)
        return Done(len(self._held))

    async def _drip(self, order: Drip) -> Done:
        """Open the sessions; they drip until they are released, one after the other, so that the load is even."""
        held = await self._hold(Hold(order.target, order.sessions))
        in_content = self._held[::2]
        for conversation in in_content:
            conversation.write(MAIL + RCPT + DATA)
            await conversation.expect(b"250", b"250", b"354")

        async def drip() -> None:
            for conversation in itertools.cycle(self._held):
                conversation.write(b"x")
                await asyncio.sleep(order.every_seconds / len(self._held))

        self._dripping = asyncio.create_task(drip())
        return held

    def _release(self) -> Done:
        """Close all; the count is of those that were open still."""
        if self._dripping is not None:
            self._dripping.cancel()
            self._dripping = None
        done = Done(self._open_now())
        for conversation in self._held:
            conversation.close()
        self._held = []
        return done

    def _open_now(self) -> int:
        return sum(conversation.is_open for conversation in self._held)

    async def _open(self, target: Target, address: str = "127.0.0.1") -> Conversation:
        return await Conversation.open(target.port, tls=self._tls if target.tls else None, address=address)


def _visit(port: int) -> float:
    """Open a session and quit; gives the seconds that it took. Nothing else runs in this process meanwhile."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), VISIT_TIMEOUT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _hear(connection, b"220")
        connection.sendall(f"EHLO {CLIENT_NAME}\r\n".encode())
        _hear(connection, b"250")
        connection.sendall(b"QUIT\r\n")
        _hear(connection, b"221")
        return time.perf_counter() - began


def _hear(connection: socket.socket, code: bytes) -> None:
    heard = b""
    while not heard.endswith(b"\r\n") or heard[:-2].rpartition(b"\n")[2][3:4] != b" ":
        octets = connection.recv(4096)
        if not octets:
            break
        heard += octets
    if not heard.startswith(code):
        raise UnexpectedReply(f"{heard!r}; {code!r} was expected")


async def _some_at_a_time(job: Callable[[int], Coroutine[Any, Any, None]], jobs: int, at_once: int) -> None:
    """Do the jobs, which are numbered from 0, so many at a time; the first that fails ends all."""
    numbers = iter(range(jobs))

    async def work() -> None:
        for number in numbers:
            await job(number)

    tasks = [asyncio.create_task(work()) for _ in range(min(at_once, jobs))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _obey_standard_input() -> None:
    clients = Clients()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = msgspec.json.decode(line, type=Order)  # noqa: TID251 (our own benchmark's line)
        print(msgspec.json.encode(await clients.obey(order)).decode(), flush=True)


def main() -> None:
    """Obey until standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(_obey_standard_input())


if __name__ == "__main__":
    main()
