"""Each limit of a session, met by a client through a real socket, and what it hears."""

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest

from edge_process import until
from edge_world import EdgeWorld
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.contracts.events import Fact
from tripost_shared.edge_limits import SessionLimits

Start = Callable[..., Awaitable[EdgeWorld]]

GREETED = "S: 220 *\nC: EHLO client.example\nS: 250 *\n"
MAIL = "C: MAIL FROM:<>\nS: 250 *\n"
UP_TO_DATA = f"{MAIL}C: RCPT TO:<ann@dest.example>\nS: 250 *\nC: DATA\nS: 354 *\n"
END = "S: <closed>"
STILL_THERE = "C: NOOP\nS: 250 *"


BIG = "x" * 65_537
NOOP = "C: NOOP\nS: 250 *\n"
UNKNOWN = "C: RCPT TO:<nobody@dest.example>\nS: 550 5.1.1 *\n"
FOREIGN = "C: RCPT TO:<far@elsewhere.example>\nS: 550 5.7.1 *\n"
RECEIVED = "C: Received: x\n"


def recipient(number: int, reply: str) -> str:
    return f"C: RCPT TO:<r{number}@dest.example>\nS: {reply}\n"


MET: dict[str, tuple[dict[str, Any], str]] = {
    "size_limit_octets": (
        {"size_limit_octets": 65_536},
        f"C: MAIL FROM:<> SIZE=65537\nS: 552 5.3.4 *\n{UP_TO_DATA}C: {BIG}\nC: .\nS: 552 5.3.4 *\n{STILL_THERE}",
    ),
    "header_limit_octets": (
        {"header_limit_octets": 4096},
        f"{UP_TO_DATA}C: Subject: {'x' * 4096}\nC: .\nS: 552 5.3.4 Header *\n{STILL_THERE}",
    ),
    "received_limit": (
        {"received_limit": 10},
        f"{UP_TO_DATA}{11 * RECEIVED}C: .\nS: 554 5.4.6 *\n{STILL_THERE}",
    ),
    "recipients_limit": (
        {"recipients_limit": 100},
        MAIL + "".join(recipient(n, "250 2.1.5 *") for n in range(100)) + recipient(100, "452 4.5.3 *") + STILL_THERE,
    ),
    "messages_per_session": (
        {"messages_per_session": 1},
        f"{MAIL}C: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 421 4.7.0 *\n{END}",
    ),
    "commands_per_session": (
        {"commands_per_session": 100, "idle_commands_per_session": 1000},
        f"{99 * NOOP}C: NOOP\nS: 421 4.7.0 Too many commands in one session*\n{END}",
    ),
    "command_line_octets": (
        {"command_line_octets": 512},
        f"C: NOOP {'x' * 507}\nS: 250 *\nC: NOOP {'x' * 508}\nS: 500 5.5.2 Line too long\n{STILL_THERE}",
    ),
    "errors_per_session": ({"errors_per_session": 1}, f"C: X\nS: 500 *\nC: X\nS: 500 *\nS: 421 4.7.0 *\n{END}"),
    "unknown_recipients_per_session": (
        {"unknown_recipients_per_session": 2},
        f"{MAIL}{3 * UNKNOWN}S: 421 4.7.0 Too many unknown recipients*\n{END}",
    ),
    "refusals_per_session": (
        {"refusals_per_session": 2},
        f"{MAIL}{3 * FOREIGN}S: 421 4.7.0 Too many errors*\n{END}",
    ),
    "idle_commands_per_session": (  # EHLO is the first
        {"idle_commands_per_session": 10},
        f"{9 * NOOP}C: NOOP\nS: 421 4.7.0 Too many commands without a message*\n{END}",
    ),
    "command_timeout_seconds": ({"command_timeout_seconds": 0.1}, f"S: 421 4.4.2 Timed out*\n{END}"),
    "content_timeout_seconds": (
        {"content_timeout_seconds": 0.1},
        f"{UP_TO_DATA}C: Subject: x\nS: 421 4.4.2 Timed out*\n{END}",
    ),
    "content_minimum_rate": (
        {"content_minimum_rate": 10_000, "content_rate_grace_seconds": 0.1},
        f"{UP_TO_DATA}C: Subject: x\nS: 421 4.4.2 Content arrives too slowly*\n{END}",
    ),
    "session_seconds": ({"session_seconds": 0.1}, f"S: 421 4.4.2 Session lasts too long*\n{END}"),
}
OF_OTHER_TESTS = {
    "auth_failures_per_session",
    "auth_failure_delay_seconds",
    "content_rate_grace_seconds",  # with the rate, above
    "greeting_delay_seconds",  # test_edge_early_talkers.py
    "errors_before_delay",
    "error_delay_seconds",
    "own_received_limit",
    "proxy_header_seconds",
    "tls_handshake_seconds",
}


def test_every_limit_of_a_session_is_met_here() -> None:
    assert set(MET) | OF_OTHER_TESTS == set(SessionLimits.model_fields)


@pytest.mark.parametrize(("settings", "script"), [pytest.param(*case, id=name) for name, case in MET.items()])
async def test_a_limit_is_met(running: Start, settings: dict[str, Any], script: str) -> None:
    world = await running(**settings)
    world.tiers.kinds.update({f"r{number}@dest.example": RecipientKind.LOCAL for number in range(101)})
    async with await world.dialog() as client:
        await client(GREETED + script)
    assert world.spooled == []


async def test_a_message_that_was_here_too_often_is_refused_long_before_that(running: Start) -> None:
    world = await running(own_received_limit=2)
    here = "C: Received: from a.example by MX.tripost.example (x);\n"
    async with await world.dialog() as client:
        await client(f"{GREETED}{UP_TO_DATA}{2 * here}C: .\nS: 250 *")
        await client(f"{UP_TO_DATA}{3 * here}C: Received: by b.example;\nC: .\nS: 554 5.4.6 Mail loop: message was*")
    (refused,) = world.facts(Fact.REFUSED)
    assert refused.detail == "4 Received fields, taken several times by mx.tripost.example 3"


async def test_the_trace_names_the_hosts_of_a_loop(running: Start) -> None:
    world = await running(received_limit=10)
    around = "C: Received: from b.example by A.example (x) with ESMTP;\nC: Received: from a.example by b.example;\n"
    async with await world.dialog() as client:
        await client(f"{GREETED}{UP_TO_DATA}{6 * around}C: .\nS: 554 5.4.6 *")
    (refused,) = world.facts(Fact.REFUSED)
    assert refused.detail == "12 Received fields, taken several times by a.example 6, b.example 6"


@pytest.mark.parametrize(
    ("listener", "settings"),
    [
        pytest.param("submissions", {"tls_handshake_seconds": 0.1}, id="tls_handshake_seconds"),
        pytest.param("proxy", {"proxy_header_seconds": 0.1}, id="proxy_header_seconds"),
    ],
)
async def test_what_must_come_before_the_greeting_must_come_in_time(
    running: Start, listener: str, settings: dict[str, Any]
) -> None:
    world = await running(**settings)
    async with await world.dialog(listener) as client:
        assert await client.read_to_end() == b""


async def test_after_some_slips_the_reply_to_each_further_one_is_held_back(running: Start) -> None:
    """One after another: a client that goes on cannot be quick."""
    world = await running(errors_before_delay=2, error_delay_seconds=0.15)
    loop = asyncio.get_running_loop()
    async with await world.greeted() as client:
        begun = loop.time()
        await client("C: X\nS: 500 *\nC: X\nS: 500 *\nC: NOOP\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RSET\nS: 250 *")
        assert loop.time() - begun < 0.15
        for _ in range(2):
            begun = loop.time()
            await client("C: X\nS: 500 *")
            assert loop.time() - begun >= 0.14
        begun = loop.time()
        await client(STILL_THERE)
        assert loop.time() - begun < 0.15


async def test_pipelined_slips_are_held_back_each(running: Start) -> None:
    world = await running(errors_before_delay=0, error_delay_seconds=0.1)
    loop = asyncio.get_running_loop()
    async with await world.greeted() as client:
        begun = loop.time()
        await client("C: X\nC: X\nC: X\nS: 500 *\nS: 500 *\nS: 500 *")
        assert loop.time() - begun >= 0.29


async def test_a_client_that_is_held_back_is_told_when_the_service_stops(running: Start) -> None:
    world = await running(errors_before_delay=0, error_delay_seconds=30)
    async with await world.greeted() as client:
        client.send(b"X\r\n")
        sessions = world.edge.registry._open
        await until(lambda: any(session._pause for session in sessions))  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            await world.edge.drain()
        await client(f"S: 500 *\nS: 421 4.3.2 *\n{END}")


async def test_a_client_that_breaks_off_while_it_is_held_back_gives_its_place_back(running: Start) -> None:
    world = await running(errors_before_delay=0, error_delay_seconds=30)
    async with await world.greeted() as client:
        client.send(b"X\r\n")
        sessions = world.edge.registry._open
        await until(lambda: any(session._pause for session in sessions))  # type: ignore[attr-defined]
        client.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        await world.until_sessions(0)


async def test_failed_authentications_end_the_session_and_are_held_back(
    running: Start, client_tls: ssl.SSLContext
) -> None:
    world = await running(auth_failures_per_session=2, auth_failure_delay_seconds=0.1)
    loop = asyncio.get_running_loop()
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
        begun = loop.time()
        await client("C: AUTH PLAIN AHVzZXIAd3Jvbmc=\nS: 535 5.7.8 *")
        assert loop.time() - begun >= 0.09
        await client(f"C: AUTH PLAIN AHVzZXIAd3Jvbmc=\nS: 421 4.7.0 *\n{END}")
