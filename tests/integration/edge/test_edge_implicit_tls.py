"""Clients of the listener with TLS from the first octet count from their connection on."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from edge_world import EdgeWorld
from tripost_edge.listeners import implicit_tls
from tripost_edge.listeners.context import ListenerProfile, ProfileInForce
from tripost_edge.listeners.implicit_tls import Handshake
from tripost_edge.listeners.registry import Place
from tripost_shared.contracts.listeners import TlsMode
from tripost_shared.mail.client import ListenerKind

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
    assert len(world.edge.registry) == 0
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
    await world.until_sessions(0)
    assert len(world.edge.registry) == 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(ZeroDivisionError("nobody foresaw it"), id="unforeseen"),
        pytest.param(OSError(errno.EMFILE, "Too many open files"), id="no descriptor left"),
    ],
)
async def test_a_client_that_cannot_be_taken_does_not_make_the_listener_deaf(
    world: EdgeWorld, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """It is logged once, and told to `tripost status` until a client is taken again."""

    def broken(*_: object, **__: object) -> bool:
        raise fault

    monkeypatch.setattr(implicit_tls, "PAUSE_SECONDS", 0.001)
    with capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(world.edge.registry, "admit", broken)
        for _ in range(3):
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await world.dialog("submissions", tls=client_tls, implicit_tls=True)
        assert list(world.edge.troubles()) == [f"submissions: clients cannot be accepted: {fault!r}"]
    assert [line["event"] for line in logs] == ["client not accepted"]
    async with await world.dialog("submissions", tls=client_tls, implicit_tls=True) as client:
        await client("S: 220 *")
    assert list(world.edge.troubles()) == []


async def test_a_handshake_that_ends_before_its_first_step_gives_its_place_back(world: EdgeWorld) -> None:
    profile = ListenerProfile("submissions", ListenerKind.SUBMISSION, tls=TlsMode.IMPLICIT)
    client, connection = socket.socketpair()
    handshake = Handshake(connection, "127.0.0.1", ProfileInForce(profile), world.edge.context)
    assert world.edge.registry.admit(handshake, Place(ListenerKind.SUBMISSION)) is None
    handshake.begin()
    handshake.abort()
    await world.until_sessions(0)
    assert connection.fileno() < 0
    client.close()


async def test_a_handshake_that_breaks_is_logged_and_gives_its_place_back(
    world: EdgeWorld, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(asyncio.get_running_loop(), "connect_accepted_socket", broken, raising=False)
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection(*world.addresses["submissions"])
        await world.until_sessions(1)
        await world.until_sessions(0)
    assert [line["event"] for line in logs] == ["TLS handshake broke"]
    writer.close()
