"""Content while it arrives: where it goes, and what is wrong with it."""

from dataclasses import dataclass, field
from functools import partial

import pytest

from contents import read_all
from tripost_edge.session import replies
from tripost_edge.session.header_inspection import inspect_header
from tripost_edge.stages.reception import MAX_FIELDS, ContentLimits, Reception
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.mail.failures import MailFailure
from tripost_shared.mail.reply import SmtpReply

LIMITS = ContentLimits(size_octets=10_000, inline_octets=2_000, header_octets=1_000, received_fields=3)


@dataclass
class World:
    store: MemoryContentStore = field(default_factory=MemoryContentStore)

    def reception(self, limits: ContentLimits = LIMITS) -> Reception:
        return Reception("id.1", self.store, limits, partial(inspect_header, authserv_id="mx.tripost.example"))


async def take(reception: Reception, octets: bytes, *, at_once: int = 100) -> None:
    """Feed the octets and the end, in pieces."""
    octets += b".\r\n"
    for start in range(0, len(octets), at_once):
        is_complete = await reception.take(octets[start : start + at_once])
        assert is_complete == (start + at_once >= len(octets))


@pytest.mark.parametrize("at_once", [1, 7, 100, 1_000_000])
@pytest.mark.parametrize("body_octets", [0, 1_500, 1_990, 2_100, 9_000])
async def test_content_arrives_whole_inline_or_stored(at_once: int, body_octets: int) -> None:
    world = World()
    content = b"Subject: s\r\n\r\n" + b"x" * body_octets + b"\r\n"
    reception = world.reception()
    await take(reception, content, at_once=at_once)
    reference = await reception.finish()
    assert reference.size_octets == len(content)
    assert (reference.inline is None) == (len(content) > LIMITS.inline_octets)
    assert await read_all(world.store, reference) == content
    assert reception.subject == "s"


@pytest.mark.parametrize("at_once", [1, 100, 1_000_000])
@pytest.mark.parametrize(
    ("content", "is_eight_bit"),
    [
        pytest.param(b"Subject: s\r\n\r\nplain\r\n", False, id="ASCII"),
        pytest.param("Subject: s\r\n\r\ngrüße\r\n".encode(), True, id="in the body"),
        pytest.param("Subject: grüße\r\n\r\nplain\r\n".encode(), True, id="in the header"),
        pytest.param(b"A: b\r\n\r\n" + b"x" * 9_000 + b"\r\n", False, id="ASCII, stored"),
        pytest.param(b"A: b\r\n\r\n\xff" + b"x" * 9_000 + b"\r\n", True, id="at the beginning, stored"),
        pytest.param(b"A: b\r\n\r\n" + b"x" * 9_000 + b"\xff\r\n", True, id="at the end, stored"),
        pytest.param("Return-Path: <ü@b.example>\r\nA: b\r\n\r\nx\r\n".encode(), False, id="in what is taken out"),
    ],
)
async def test_whether_content_is_eight_bit_is_seen_in_its_octets(
    content: bytes, is_eight_bit: bool, at_once: int
) -> None:
    reception = World().reception()
    await take(reception, content, at_once=at_once)
    await reception.finish()
    assert reception.is_eight_bit is is_eight_bit


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        pytest.param(b"A: b\r\n\r\n" + b"x" * 10_000 + b"\r\n", replies.TOO_BIG, id="too large"),
        pytest.param(b"A: b\r\n" * 300 + b"\r\nx\r\n", replies.HEADER_TOO_BIG, id="header too large"),
        pytest.param(b"A: b\r\n" * 300, replies.HEADER_TOO_BIG, id="all header, too large"),
        pytest.param(b"Received: x\r\n" * 4 + b"\r\n", replies.LOOP, id="loop"),
        pytest.param(b"Received: x\r\n" * 4, replies.LOOP, id="loop without body"),
        pytest.param(b"A: b\r\n\r\n" + b"x" * 3000 + b"\nx\r\n", replies.BARE_LINE_END, id="bare LF in the body"),
        pytest.param(b"A: b\rc\r\n\r\n", replies.BARE_LINE_END, id="bare CR in the header"),
        pytest.param(b"A: b\r\n\r\n\0\r\n", replies.NUL_OCTET, id="NUL"),
        pytest.param(b"A: b\r\n\r\n" + b"x" * 10_000 + b"\n\r\n", replies.BARE_LINE_END, id="too large, and a bare LF"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 50, 1_000_000])
async def test_what_is_wrong_is_said_at_the_end_and_nothing_is_left(
    content: bytes, reply: SmtpReply, at_once: int
) -> None:
    world = World()
    reception = world.reception()
    await take(reception, content, at_once=at_once)
    with pytest.raises(MailFailure) as raised:
        await reception.finish()
    assert raised.value.reply == reply
    assert await world.store.list() == []


async def test_three_received_fields_are_no_loop() -> None:
    reception = World().reception()
    await take(reception, b"Received: x\r\n" * 3 + b"\r\nReceived: in the body\r\n")
    assert (await reception.finish()).inline is not None


async def test_forged_fields_go_and_the_size_is_what_goes_on() -> None:
    world = World()
    reception = world.reception()
    forged = b"Authentication-Results: mx.tripost.example; spf=pass\r\n"
    await take(reception, b"A: b\r\n" + forged + b"\r\n" + b"x" * 3000 + b"\r\n")
    content = await reception.finish()
    assert await read_all(world.store, content) == b"A: b\r\n\r\n" + b"x" * 3000 + b"\r\n"
    assert content.size_octets == 6 + 2 + 3002
    assert reception.size_octets == content.size_octets + len(forged)


async def test_a_message_may_begin_with_its_body() -> None:
    reception = World().reception()
    await take(reception, b"\r\nReceived: no field\r\n" * 5)
    assert (await reception.finish()).inline == b"\r\nReceived: no field\r\n" * 5


async def test_long_lines_pass_unchanged() -> None:
    reception = World().reception()
    await take(reception, b"A: b\r\n\r\n" + b"x" * 1500 + b"\r\n")
    assert b"x" * 1500 + b"\r\n" in ((await reception.finish()).inline or b"")


async def test_far_beyond_the_limit_it_is_hopeless() -> None:
    reception = World().reception()
    await reception.take(b"\r\n" + b"x" * 15_000)
    assert not reception.is_hopeless
    await reception.take(b"x" * 15_000)
    assert reception.is_hopeless


async def test_a_store_that_fails_halfway_leaves_nothing_and_tells_the_client_to_come_back() -> None:
    world = World()
    reception = world.reception()
    await reception.take(b"\r\n" + b"x" * 3_000)
    world.store.is_unavailable = True
    await reception.take(b"x" * 3_000)
    world.store.is_unavailable = False
    assert await reception.take(b"\r\n.\r\n")
    with pytest.raises(MailFailure) as raised:
        await reception.finish()
    assert raised.value.reply.is_transient
    assert await world.store.list() == []


@pytest.mark.parametrize(
    "field", [b"A: b\r\n", b"no field\r\n", b"A: b\r\n c\r\n"], ids=["fields", "other lines", "folded"]
)
async def test_a_header_of_more_than_a_thousand_fields_is_refused(field: bytes) -> None:
    """Each costs time in edge and filter, whatever the size of the header."""
    honest = World().reception(ContentLimits())
    await take(honest, field * MAX_FIELDS + b"\r\nx\r\n", at_once=5000)
    assert (await honest.finish()).size_octets == MAX_FIELDS * len(field) + 5
    hostile = World().reception(ContentLimits())
    await take(hostile, field * (MAX_FIELDS + 1) + b"\r\nx\r\n", at_once=5000)
    with pytest.raises(MailFailure) as refused:
        await hostile.finish()
    assert refused.value.reply == replies.TOO_MANY_FIELDS
