"""Messages in chunks (CHUNKING, RFC 3030): whatever becomes of one, no octet of it is taken for a command."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.domains import MAY_SEND, RecipientKind
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, Verdict
from tripost_shared.mail.reply import SmtpReply

Start = Callable[..., Awaitable[EdgeWorld]]
ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@dest.example>\r\n"
SMUGGLED = b"RSET\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\nsmuggled\r\n.\r\n"


def bdat(octets: bytes, *, last: bool = False) -> bytes:
    """Write a chunk with its command."""
    return b"BDAT %d%s\r\n%s" % (len(octets), b" LAST" if last else b"", octets)


async def codes(client: Dialog, count: int) -> list[str]:
    """Give the next replies' codes."""
    return [" ".join((await client.read_reply()).split()[:2]) for _ in range(count)]


async def test_chunks_make_a_message(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog("C: MAIL FROM:<a@b.example>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 250 *")
    dialog.send(bdat(b"Subject: x\r\n\r\n.\r"))
    assert await dialog.read_line() == "250 2.0.0 16 octets received"
    await dialog("C: NOOP\nS: 250 *")
    dialog.send(bdat(b"\n..\r\n.\r\n"))
    assert await dialog.read_line() == "250 2.0.0 8 octets received"
    dialog.send(bdat(b"no end", last=True))
    assert (await dialog.read_line()).startswith("250 2.0.0 Accepted as ")
    (message,) = world.spooled
    assert message.content.inline == b"Subject: x\r\n\r\n.\r\n..\r\n.\r\nno end\r\n"
    assert message.content.size_octets == len(message.content.inline)


async def test_everything_may_be_pipelined(world: EdgeWorld, dialog: Dialog) -> None:
    dialog.send(
        ENVELOPE + bdat(b"Subject: 1\r\n") + bdat(b"") + bdat(b"\r\nQUIT\r\n", last=True)
        + ENVELOPE + bdat(b"", last=True)
        + ENVELOPE + bdat(b"Subject: 3\r\n") + bdat(b"", last=True) + b"NOOP\r\n"
    )  # fmt: skip
    assert await codes(dialog, 13) == [*["250 2.1.0", "250 2.1.5", "250 2.0.0"] * 1, *["250 2.0.0"] * 2,
                                       "250 2.1.0", "250 2.1.5", "250 2.0.0",
                                       "250 2.1.0", "250 2.1.5", *["250 2.0.0"] * 3]  # fmt: skip
    assert [message.content.inline for message in world.spooled] == [
        b"Subject: 1\r\n\r\nQUIT\r\n",
        b"",
        b"Subject: 3\r\n",
    ]


@pytest.mark.parametrize(
    ("before", "replies"),
    [
        pytest.param(b"", ["503 5.5.1"], id="without a transaction"),
        pytest.param(b"MAIL FROM:<>\r\n", ["250 2.1.0", "554 5.5.1"], id="without a recipient"),
        pytest.param(
            b"MAIL FROM:<>\r\nRCPT TO:<nobody@dest.example>\r\n",
            ["250 2.1.0", "550 5.1.1", "554 5.5.1"],
            id="with none that is valid",
        ),
    ],
)
async def test_a_chunk_out_of_its_place_is_dropped_whole(
    world: EdgeWorld, dialog: Dialog, before: bytes, replies: list[str]
) -> None:
    dialog.send(before + bdat(SMUGGLED) + b"NOOP\r\n")
    assert await codes(dialog, len(replies) + 1) == [*replies, "250 2.0.0"]
    assert world.spooled == []


async def test_a_client_that_said_helo_has_no_chunks(world: EdgeWorld) -> None:
    async with await world.dialog() as client:
        client.send(b"HELO c.example\r\n" + ENVELOPE + bdat(SMUGGLED, last=True) + b"NOOP\r\n")
        await client("S: 220 *\nS: 250 *\nS: 250 2.1.0 *\nS: 250 2.1.5 *\nS: 503 5.5.1 *\nS: 250 2.0.0 *")


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        pytest.param(b"a\nb\r\n", "550 5.5.2", id="bare LF"),
        pytest.param(b"a\rb\r\n", "550 5.5.2", id="bare CR"),
        pytest.param(b"a\0b\r\n", "550 5.5.2", id="NUL"),
        pytest.param(b"Subject: x\r\n\r\n" + b"x" * 70_000, "552 5.3.4", id="too large"),
        pytest.param(b"Received: by x\r\n" * 51 + b"\r\n", "554 5.4.6", id="loop"),
    ],
)
async def test_a_refused_chunk_is_read_to_its_end_and_so_are_those_behind_it(
    running: Start, octets: bytes, reply: str
) -> None:
    world = await running(size_limit_octets=65_536)
    async with await world.greeted() as client:
        client.send(ENVELOPE + bdat(octets) + bdat(SMUGGLED) + bdat(SMUGGLED, last=True) + b"NOOP\r\n")
        assert await codes(client, 6) == ["250 2.1.0", "250 2.1.5", reply, reply, reply, "250 2.0.0"]
        assert world.spooled == []
        assert len(world.facts(Fact.REFUSED)) == 1
        client.send(ENVELOPE + bdat(b"x\r\n", last=True))  # the last chunk was the end of it
        assert await codes(client, 3) == ["250 2.1.0", "250 2.1.5", "250 2.0.0"]


@pytest.mark.parametrize("first", [pytest.param(b"fine\r\n", id="taken"), pytest.param(b"a\nb", id="refused")])
async def test_between_chunks_only_rset_and_ehlo_lead_out(world: EdgeWorld, dialog: Dialog, first: bytes) -> None:
    for way_out in (b"RSET\r\n", b"EHLO again.example\r\n"):
        dialog.send(ENVELOPE + bdat(first))
        reply = (await codes(dialog, 3))[2]
        assert reply == ("550 5.5.2" if b"a\n" in first else "250 2.0.0")
        dialog.send(b"DATA\r\nMAIL FROM:<>\r\nRCPT TO:<bob@dest.example>\r\nSTARTTLS\r\n" + way_out)
        assert [code[:3] for code in await codes(dialog, 5)] == ["503", "503", "503", "503", "250"]
    dialog.send(ENVELOPE + bdat(b"only this\r\n", last=True))
    assert await codes(dialog, 3) == ["250 2.1.0", "250 2.1.5", "250 2.0.0"]
    assert [message.content.inline for message in world.spooled] == [b"only this\r\n"]


@pytest.mark.parametrize("argument", [b"", b" LAST", b" x", b" -1", b" 5 FIRST", b" 99999999999999999"])
async def test_where_the_size_cannot_be_read_the_session_ends(
    world: EdgeWorld, dialog: Dialog, argument: bytes
) -> None:
    """Nobody can tell then where the next command begins."""
    dialog.send(ENVELOPE + b"BDAT" + argument + b"\r\n" + SMUGGLED)
    assert await codes(dialog, 3) == ["250 2.1.0", "250 2.1.5", "501 5.5.4"]
    assert await dialog.read_to_end() == b""
    assert world.spooled == []


@pytest.mark.parametrize("before", [pytest.param(ENVELOPE, id="in its place"), pytest.param(b"", id="out of it")])
async def test_a_hopeless_size_ends_the_session_before_it_comes(running: Start, before: bytes) -> None:
    world = await running(size_limit_octets=65_536)
    async with await world.greeted() as client:
        client.send(before + b"BDAT 131073\r\n")
        await codes(client, 2 if before else 0)
        await client("S: 552 5.3.4 *\nS: <closed>")


async def test_chunks_together_are_hopeless_as_one_is(running: Start) -> None:
    world = await running(size_limit_octets=65_536)
    async with await world.greeted() as client:
        client.send(ENVELOPE + bdat(b"x" * 60_000) * 3)
        assert await codes(client, 5) == ["250 2.1.0", "250 2.1.5", "250 2.0.0", "552 5.3.4", "552 5.3.4"]
        await client("S: <closed>")


async def test_a_thousand_small_chunks_are_enough(world: EdgeWorld, dialog: Dialog) -> None:
    dialog.send(ENVELOPE + bdat(b"\r\n") * 1001)
    assert (await codes(dialog, 1003))[-2:] == ["250 2.0.0", "421 4.7.0"]
    await dialog("S: <closed>")


async def test_large_content_goes_to_the_store_and_is_gone_with_the_transaction(running: Start) -> None:
    world = await running(inline_octets=100)
    large = b"Subject: x\r\n\r\n" + b"x" * 70_000 + b"\r\n"
    async with await world.greeted() as client:
        client.send(ENVELOPE + bdat(large) + b"RSET\r\n" + ENVELOPE + bdat(large) + bdat(b"", last=True))
        assert await codes(client, 8) == [
            *("250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0"),
            *("250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0"),
        ]
        client.send(ENVELOPE + bdat(large))
        await codes(client, 3)
    await world.until_sessions(0)
    (message,) = world.spooled
    assert [stored.name for stored in await world.store.list()] == [message.content.stored]


async def test_a_verdict_refuses_after_the_last_chunk(world: EdgeWorld, dialog: Dialog) -> None:
    world.tiers.message = Verdict(Action.REJECT, reply=SmtpReply(550, "5.7.1", "No"))
    dialog.send(ENVELOPE + bdat(b"x\r\n") + bdat(b"", last=True) + b"NOOP\r\n")
    assert await codes(dialog, 5) == ["250 2.1.0", "250 2.1.5", "250 2.0.0", "550 5.7.1", "250 2.0.0"]


async def test_rights_are_asked_for_before_the_first_chunk(world: EdgeWorld, submitting: Dialog) -> None:
    world.tiers.kinds["far@else.example"] = RecipientKind.FOREIGN
    await submitting("""C: AUTH PLAIN AHVzZXJAZGVzdC5leGFtcGxlAHNlY3JldA==
                        S: 235 *
                        C: MAIL FROM:<user@dest.example>
                        C: RCPT TO:<far@else.example>
                        S: 250 *
                        S: 250 *""")
    world.edge.take_directory_change(DirectoryChange(revision=2))
    world.bus.forsake(MAY_SEND)
    submitting.send(bdat(SMUGGLED) + bdat(SMUGGLED, last=True) + b"NOOP\r\n")
    assert await codes(submitting, 3) == ["451 4.3.0", "451 4.3.0", "250 2.0.0"]
    assert world.spooled == []


async def test_a_chunk_that_stops_coming_ends_the_session(running: Start) -> None:
    world = await running(content_timeout_seconds=0.1)
    async with await world.greeted() as client:
        client.send(ENVELOPE + b"BDAT 10\r\nhalf")
        await codes(client, 2)
        await client("S: 421 4.4.2 Timed out*\nS: <closed>")


async def test_chunks_below_the_minimum_rate_end_the_session(running: Start) -> None:
    """The time between two of them is the client's, too."""
    world = await running(content_minimum_rate=1000, content_rate_grace_seconds=0.2)
    async with await world.greeted() as client:
        client.send(ENVELOPE)
        await codes(client, 2)
        dripping = asyncio.create_task(_drip(client))
        assert b"421 4.4.2 Content arrives too slowly" in await client.read_to_end()
        dripping.cancel()


async def _drip(client: Dialog) -> None:
    while True:
        client.send(bdat(b"x"))
        await asyncio.sleep(0.02)
