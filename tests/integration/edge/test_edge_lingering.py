"""Connections of sessions that have ended: they count until they are closed."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_edge.listeners import wire
from tripost_shared.mail.reply import SmtpReply

Start = Callable[..., Awaitable[EdgeWorld]]
ONE_ERROR_TOO_MUCH = "C: X\nC: X\nS: 500 *\nS: 500 *\nS: 421 4.7.0 *"


async def told_to_go(world: EdgeWorld) -> Dialog:
    """Connect a client that has heard the last reply of its session, and does not close."""
    client = await world.dialog()
    await client("S: 220 *\n" + ONE_ERROR_TOO_MUCH)
    return client


async def test_a_client_that_does_not_close_is_counted_and_cut_off_for_the_next(running: Start) -> None:
    world = await running(sessions_limit=1, errors_per_session=1)
    async with await told_to_go(world) as first:
        assert len(world.edge.registry) == 1
        async with await world.dialog() as second:
            await second("S: 220 *")
            assert len(world.edge.registry) == 1
            await first("S: <closed>")
            first.send(b"X" * 100)
            with pytest.raises(ConnectionError):
                await _until_refused(first)


async def test_a_client_that_closes_gives_its_place_back(running: Start) -> None:
    world = await running(errors_per_session=1)
    async with await told_to_go(world):
        assert len(world.edge.registry) == 1
    await world.until_sessions(0)


async def test_a_client_that_does_not_close_gives_its_place_back_in_time(
    running: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.1)
    world = await running(errors_per_session=1)
    async with await told_to_go(world):
        await world.until_sessions(0)
        assert len(world.edge.registry) == 0


async def test_a_client_that_sends_much_first_can_still_read_why_it_is_told_to_go(running: Start) -> None:
    """What it has sent is taken and dropped: it would wait for that for ever, and never come to the reply."""
    world = await running(errors_per_session=1)
    async with await world.dialog() as client:
        client.send(b"X\r\n" * 2 + b"X" * (32 << 20))
        async with asyncio.timeout(wire.LINGER_SECONDS):
            await client.writer.drain()
            assert b"421 4.7.0 " in await client.reader.read()


async def test_over_tls_a_client_that_does_not_close_is_counted(
    running: Start, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS has an end of its own, for which the client is waited for."""
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.2)
    world = await running()
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined] # it does not see our end of TLS
        client.send(b"QUIT\r\n")
        await _until_ended(world)
        assert len(world.edge.registry) == 1
        await world.until_sessions(0)


async def test_a_service_that_ends_does_not_wait_for_clients_to_close(running: Start) -> None:
    world = await running(errors_per_session=1)
    async with await told_to_go(world) as lingering, await world.greeted() as idle:
        async with asyncio.timeout(wire.LINGER_SECONDS / 2):
            await world.edge.drain()
        await idle("S: 421 4.3.2 *")
        assert len(world.edge.registry) == 2
        world.edge.abort()
        await world.until_sessions(0)
        await lingering("S: <closed>")


async def test_a_client_that_has_connected_just_then_is_not_waited_for(
    world: EdgeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken in, and all are dismissed before its session has had its first turn."""
    registry, draining = world.edge.registry, []
    admit = registry.admit

    def admit_and_drain(*session_and_place: Any, **instead: Any) -> SmtpReply | None:
        refusal = admit(*session_and_place, **instead)
        draining.append(asyncio.create_task(registry.drain()))
        return refusal

    monkeypatch.setattr(registry, "admit", admit_and_drain)
    async with await world.dialog() as client:
        await client("S: 421 4.3.2 *\nS: <closed>")
    async with asyncio.timeout(5):
        await draining[0]


@pytest.mark.parametrize("says", [pytest.param(b"", id="silent"), pytest.param(b"EHLO c\r\n", id="no handshake")])
async def test_a_starttls_that_fails_gives_its_place_back(running: Start, says: bytes) -> None:
    world = await running(tls_handshake_seconds=0.1)
    reader, writer = await asyncio.open_connection(*world.addresses["mx"])
    writer.write(b"EHLO c\r\nSTARTTLS\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"220 2.0.0")
    writer.write(says)
    await world.until_sessions(0)
    assert len(world.edge.registry) == 0
    writer.close()


async def test_a_client_that_resets_within_starttls_gives_its_place_back_at_once(world: EdgeWorld) -> None:
    """Of this end the event loop does not tell the session."""
    reader, writer = await asyncio.open_connection(*world.addresses["mx"])
    writer.write(b"EHLO c\r\nSTARTTLS\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"220 2.0.0")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    async with asyncio.timeout(wire.LINGER_SECONDS / 2):
        await world.until_sessions(0)
    assert len(world.edge.registry) == 0


async def _until_refused(client: Dialog) -> None:
    async with asyncio.timeout(5):
        while True:
            client.send(b"X")
            await client.writer.drain()
            await asyncio.sleep(0.001)


async def _until_ended(world: EdgeWorld) -> None:
    async with asyncio.timeout(5):
        await world.edge.registry.drain()
