"""What counts as a sign of life of a service."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from servers import free_port
from tripost_embedded.liveness import wait_for_silence
from tripost_embedded.readiness import http_probe, http_sign
from tripost_shared.settings import Listen
from tripost_shared.silence import Patience

QUICK = Patience(every=timedelta(milliseconds=50), looks=2)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def overloaded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert (await reader.readline()).startswith(b"GET /healthz ")
    writer.write(b"HTTP/1.1 503 Too Many Connections\r\n\r\n")
    writer.close()


async def closing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("serve", [overloaded, closing])
async def test_a_service_that_turns_the_question_away_is_alive(serve: Serve) -> None:
    listen = Listen(f"127.0.0.1:{free_port()}")
    async with await asyncio.start_server(serve, listen.host, listen.port):
        assert await http_sign(listen, "/healthz")()


async def test_it_is_not_ready_by_that() -> None:
    listen = Listen(f"127.0.0.1:{free_port()}")
    async with await asyncio.start_server(overloaded, listen.host, listen.port):
        assert not await http_probe(listen, "/healthz")()


async def test_a_service_that_takes_the_connection_and_says_nothing_is_silent() -> None:
    """As one that was stopped does: the kernel takes connections for it."""
    listen = Listen(f"127.0.0.1:{free_port()}")
    hangs = asyncio.Event()
    questions = 0

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal questions
        questions += 1
        await hangs.wait()
        writer.close()

    async with await asyncio.start_server(hang, listen.host, listen.port), asyncio.timeout(20):
        await wait_for_silence(http_sign(listen, "/healthz"), QUICK)
        hangs.set()
    assert questions >= QUICK.looks


async def test_a_service_that_no_longer_listens_is_silent() -> None:
    async with asyncio.timeout(20):
        await wait_for_silence(http_sign(Listen(f"127.0.0.1:{free_port()}"), "/healthz"), QUICK)
