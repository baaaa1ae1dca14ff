"""Clients of the listener with TLS from the first octet count from their connection on."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest

from edge_world import EdgeWorld

Start = Callable[..., Awaitable[EdgeWorld]]


async def silent_client(world: EdgeWorld, listener: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect without saying a thing; the listener has taken notice when this returns."""
    client = await asyncio.open_connection(*world.addresses[listener])
    await world.until_sessions(1)
    return client


@pytest.mark.parametrize("listener", ["mx", "submission", "submissions", "proxy"])
async def test_a_silent_client_is_counted_on_every_listener(running: Start, listener: str) -> None:
    world = await running(sessions_limit=1)
    _, writer = await silent_client(world, listener)
    async with await world.dialog() as other:
        await other("S: 421 4.3.2 *\nS: <closed>")
    writer.close()
    async with asyncio.timeout(5):
        await world.edge.registry.drain()


async def test_beyond_the_limit_of_sessions_no_handshake_is_begun(running: Start, client_tls: ssl.SSLContext) -> None:
    world = await running(sessions_limit=1)
    async with await world.dialog() as first:
        await first("S: 220 *")
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await world.dialog("submissions", tls=client_tls, implicit_tls=True)
        await first("C: QUIT\nS: 221 *\nS: <closed>")
    async with await world.dialog("submissions", tls=client_tls, implicit_tls=True) as second:
        await second("S: 220 *")
        assert len(world.edge.registry) == 1  # the session has taken over its handshake's place


async def test_a_handshake_that_does_not_come_ends(running: Start) -> None:
    world = await running(tls_handshake_seconds=0.1)
    reader, writer = await silent_client(world, "submissions")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    await world.until_sessions(0)
    writer.close()


async def test_a_failed_handshake_gives_its_place_back(world: EdgeWorld) -> None:
    _, writer = await silent_client(world, "submissions")
    writer.write(b"EHLO client.example\r\n")
    await world.until_sessions(0)
    writer.close()


async def test_a_silent_client_does_not_hold_up_the_end_of_the_service(world: EdgeWorld) -> None:
    reader, writer = await silent_client(world, "submissions")
    async with asyncio.timeout(5):
        await world.edge.drain()
        assert await reader.read() == b""
    writer.close()


async def test_a_client_that_speaks_first_is_heard(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    """Its ClientHello is there before the listener knows of it: nothing of it may be lost."""
    clients = [asyncio.create_task(world.greeted("submissions", tls=client_tls, implicit_tls=True)) for _ in range(20)]
    async with asyncio.timeout(20):
        for client in await asyncio.gather(*clients):
            await client("C: QUIT\nS: 221 *\nS: <closed>")
            client.writer.close()
