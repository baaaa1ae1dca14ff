"""Clients that are slow, silent, or read nothing (RFC 5321 §4.5.3.2)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_edge.listeners import wire
from tripost_shared.contracts.filter import MESSAGE, MessageQuestion, Verdict

Start = Callable[..., Awaitable[EdgeWorld]]
UP_TO_DATA = "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *"


async def test_a_silent_client_is_told_so(running: Start) -> None:
    world = await running(command_timeout_seconds=0.1)
    async with await world.dialog() as client:
        await client("S: 220 *\nS: 421 4.4.2 *\nS: <closed>")


async def test_a_command_in_drops_does_not_prolong_the_wait(running: Start) -> None:
    world = await running(command_timeout_seconds=0.2)
    async with await world.greeted() as client:
        dripping = asyncio.create_task(_drip(client, b"N", every_seconds=0.02))
        await client("S: 421 4.4.2 *\nS: <closed>")
        dripping.cancel()


async def test_content_that_stops_coming_ends_the_session(running: Start) -> None:
    world = await running(content_timeout_seconds=0.1)
    async with await world.greeted() as client:
        await client(UP_TO_DATA)
        client.send(b"Subject: x\r\n")
        await client("S: 421 4.4.2 Timed out*\nS: <closed>")
    assert world.spooled == []


async def test_content_below_the_minimum_rate_ends_the_session(running: Start) -> None:
    world = await running(content_minimum_rate=1000, content_rate_grace_seconds=0.2)
    async with await world.greeted() as client:
        await client(UP_TO_DATA)
        dripping = asyncio.create_task(_drip(client, b"x", every_seconds=0.02))
        await client("S: 421 4.4.2 Content arrives too slowly*\nS: <closed>")
        dripping.cancel()


async def test_a_session_has_an_end(running: Start) -> None:
    world = await running(session_seconds=0.15)
    async with await world.greeted() as client:
        dripping = asyncio.create_task(_drip(client, b"NOOP\r\n", every_seconds=0.02))
        assert b"421 4.4.2 Session lasts too long" in await client.read_to_end()
        dripping.cancel()


async def test_time_that_a_tier_takes_is_not_the_clients(running: Start) -> None:
    world = await running(command_timeout_seconds=0.1, content_timeout_seconds=0.1)
    answer = asyncio.Event()
    judge = world.tiers._message

    async def slow(question: MessageQuestion) -> Verdict:
        await answer.wait()
        return await judge(question)

    world.bus.forsake(MESSAGE)
    await world.bus.serve(MESSAGE, slow)
    async with await world.greeted() as client:
        await client(UP_TO_DATA + "\nC: .")
        asyncio.get_running_loop().call_later(0.3, answer.set)
        await client("S: 250 *")


async def test_a_client_that_reads_no_replies_is_not_read_from(running: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands stay in its own buffers, and it is cut off in the end."""
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.2)
    world = await running(command_timeout_seconds=0.5, idle_commands_per_session=1_000_000)
    async with await world.greeted() as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined] # the stream offers no way
        flooding = asyncio.create_task(_drip(client, b"NOOP\r\n" * 10_000, every_seconds=0))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            async with asyncio.timeout(20):
                await flooding


async def test_a_client_that_goes_away_within_content_leaves_nothing(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog(UP_TO_DATA)
    dialog.send(b"Subject: x\r\n\r\n" + b"x" * 400_000)
    dialog.writer.close()
    async with asyncio.timeout(5):
        await world.edge.registry.drain()
    assert world.spooled == []
    assert await world.store.list() == []


async def test_half_closed_after_a_pipelined_session_still_gets_its_replies(world: EdgeWorld) -> None:
    async with await world.dialog() as client:
        client.send(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
        client.writer.write_eof()
        said = await client.read_to_end()
    assert said.splitlines()[-2].startswith(b"250 2.0.0 Accepted")
    assert len(world.spooled) == 1


async def _drip(client: Dialog, octets: bytes, *, every_seconds: float) -> None:
    while True:
        client.send(octets)
        await client.writer.drain()
        await asyncio.sleep(every_seconds)
