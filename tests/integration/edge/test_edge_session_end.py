"""How sessions end otherwise than by QUIT."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_edge.session.command import MAX_AUTH_LINE_OCTETS
from tripost_edge.session.inbox import MAX_EXCESS_OCTETS

Start = Callable[..., Awaitable[EdgeWorld]]


async def test_too_many_errors_end_the_session(running: Start) -> None:
    world = await running(errors_per_session=3)
    async with await world.dialog() as client:
        await client("""S: 220 *
                        C: X
                        C: X
                        C: X
                        C: X
                        S: 500 *
                        S: 500 *
                        S: 500 *
                        S: 500 *
                        S: 421 4.7.0 *
                        S: <closed>""")


async def test_too_many_messages_end_the_session(running: Start) -> None:
    world = await running(messages_per_session=1)
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nS: 250 *\nC: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 421 4.7.0 *\nS: <closed>")


async def test_beyond_the_limit_of_sessions_clients_are_turned_away(running: Start) -> None:
    world = await running(sessions_limit=1)
    async with await world.greeted() as first:
        async with await world.dialog() as second:
            await second("S: 421 4.3.2 *\nS: <closed>")
        await first("C: QUIT\nS: 221 *\nS: <closed>")
    async with await world.dialog() as third:
        await third("S: 220 *")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: mx\r\n\r\n", id="HTTP GET"),
        pytest.param(b"POST / HTTP/1.1\r\n\r\nEHLO x\r\nMAIL FROM:<>\r\n", id="HTTP POST with SMTP in its body"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS on the plain port"),
    ],
)
async def test_other_protocols_are_cut_off_at_once(world: EdgeWorld, octets: bytes) -> None:
    async with await world.dialog() as client:
        await client("S: 220 *")
        client.send(octets)
        assert await client.read_to_end() == b""


async def test_draining_lets_a_transaction_end_and_dismisses_the_idle(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog("C: MAIL FROM:<>\nS: 250 *")
    async with await world.greeted() as idle:
        draining = asyncio.create_task(world.edge.drain())
        await idle("S: 421 4.3.2 *\nS: <closed>")
    await dialog("""C: RCPT TO:<ann@dest.example>
                    C: DATA
                    C: .
                    S: 250 *
                    S: 354 *
                    S: 250 *
                    S: 421 4.3.2 *
                    S: <closed>""")
    async with asyncio.timeout(5):
        await draining
    assert len(world.spooled) == 1


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("NOOP", id="NOOP"),
        pytest.param("RSET", id="RSET"),
        pytest.param("EHLO c.example", id="EHLO"),
        pytest.param("HELO c.example", id="HELO"),
        pytest.param("VRFY ann", id="VRFY"),
        pytest.param("HELP", id="HELP"),
        pytest.param("MAIL FROM:<>\r\nRSET", id="transactions that are dropped"),
    ],
)
async def test_commands_that_lead_nowhere_end_the_session(running: Start, command: str) -> None:
    world = await running(idle_commands_per_session=10)
    async with await world.greeted() as client:  # EHLO is the first
        client.send(f"{command}\r\n".encode() * 10)
        said = await client.read_to_end()
    *done, last = [line for line in said.splitlines() if line[3:4] == b" "]
    assert last == b"421 4.7.0 Too many commands without a message, closing"
    assert all(reply.startswith(b"2") for reply in done)
    commands = command.count("\r\n") + 1
    assert len(done) == 9 * commands + (commands - 1)


async def test_an_accepted_message_is_worth_as_many_idle_commands_again(running: Start) -> None:
    world = await running(idle_commands_per_session=10)
    message = """C: RSET
                 C: NOOP
                 C: RSET
                 C: MAIL FROM:<>
                 C: RCPT TO:<ann@dest.example>
                 C: DATA
                 C: .
                 S: 250 *
                 S: 250 *
                 S: 250 *
                 S: 250 *
                 S: 250 *
                 S: 354 *
                 S: 250 *\n"""
    async with await world.greeted() as client:
        await client(5 * message)


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"NOOP ", id="a command"),
        pytest.param(b"AUTH PLAIN ", id="an initial response"),
        pytest.param(b"AUTH PLAIN\r\n", id="a response"),
        pytest.param(b"MAIL FROM:<>\r\nRCPT TO:<ann@dest.example>\r\nRCPT TO:<", id="a pipelined recipient"),
    ],
)
async def test_a_line_without_end_ends_the_session(
    world: EdgeWorld, client_tls: ssl.SSLContext, beginning: bytes
) -> None:
    listener = "submissions" if beginning.startswith(b"AUTH") else "mx"
    async with await world.greeted(listener, tls=client_tls, implicit_tls=listener == "submissions") as client:
        begun = beginning.rpartition(b"\r\n")[2]
        client.send(beginning.ljust(len(beginning) - len(begun) + MAX_AUTH_LINE_OCTETS + MAX_EXCESS_OCTETS + 1, b"x"))
        (*_, last) = (await client.read_to_end()).splitlines()
        assert last == b"421 4.7.0 Line without end, closing"
    await world.until_sessions(0)


async def test_a_session_whose_end_breaks_gives_its_place_back(
    world: EdgeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with await world.greeted() as client:
        monkeypatch.setattr(world.edge.context.journal, "abandoned", broken, raising=False)
        client.send(b"QUIT\r\n")
        await client.read_to_end()
        await world.until_sessions(0)
