"""The mail that checks are given."""

import pytest

from tripost_filter.content_reader import Reading
from tripost_filter.mail import CHUNK_OCTETS, LARGE_OCTETS, MAX_FIELDS, Mail
from tripost_shared.mail.header import raw_fields
from unit.filter.mails import LETTER, STRANGER, ChunkedStore, a_mail


def test_header_and_body_are_split_at_the_empty_line() -> None:
    mail = a_mail(octets=b"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\nmore\r\n")
    assert (mail.header, mail.body) == (b"A: 1\r\nB: 2\r\n", b"body\r\n\r\nmore\r\n")


def test_fields_keep_their_octets_and_have_names_in_lower_case() -> None:
    mail = a_mail(octets=b"Subject : a\r\n b\r\nnonsense\r\nsubject:c\r\n\r\n")
    assert [field.name for field in mail.fields] == [b"subject", b"", b"subject"]
    assert mail.fields[0].raw == b"Subject : a\r\n b\r\n"
    assert mail.fields[0].value == b" a\r\n b\r\n"
    assert [field.value for field in mail.fields_of(b"subject")] == [b" a\r\n b\r\n", b"c\r\n"]


def test_before_the_content_there_are_no_fields() -> None:
    mail = Mail(STRANGER)
    assert (mail.fields, mail.body, mail.reverse_path) == ((), b"", None)


def test_the_sender_is_the_address_of_the_reverse_path() -> None:
    assert str(a_mail(reverse_path="ann@sender.example").sender) == "ann@sender.example"
    assert a_mail(reverse_path="").sender is None
    assert a_mail(reverse_path="not an address").sender is None


def test_a_header_beyond_all_bounds_is_read_in_part() -> None:
    mail = a_mail(octets=b"X: y\r\n" * 100_000 + b"\r\n")
    assert len(mail.fields) == MAX_FIELDS + 1
    assert not mail.is_whole
    assert a_mail(octets=LETTER).is_whole


async def test_large_is_what_takes_too_long_on_the_event_loop_in_one_go() -> None:
    assert not a_mail(octets=LETTER).is_large
    octets = b"From: x\r\n\r\n" + b"x" * LARGE_OCTETS
    mail = a_mail(octets=octets)
    assert mail.is_large
    chunks = [chunk async for chunk in mail.chunks()]
    assert b"".join(chunks) == octets
    assert max(map(len, chunks)) == CHUNK_OCTETS


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("octets", "body"),
    [
        pytest.param(b"A: 1\r\nB: 2\r\n\r\nbody\r\n", b"body\r\n", id="header and body"),
        pytest.param(b"\r\nbody\r\n", b"body\r\n", id="no header"),
        pytest.param(b"A: 1\r\n\r\n", b"", id="no body"),
        pytest.param(b"A: 1\r\n", b"", id="no empty line"),
    ],
)
async def test_the_body_comes_in_chunks_too(octets: bytes, body: bytes, size: int) -> None:
    store = ChunkedStore()
    store.chunk_octets = size
    reading = Reading(store, store.put("big", octets), max_octets=1000)
    await reading.read_beginning()
    mail = a_mail(octets=reading.beginning, stored=reading)
    assert mail.is_large
    assert b"".join([chunk async for chunk in mail.body_chunks()]) == body


@pytest.mark.parametrize(
    "header",
    [b"A: 1\r\n", b"A: 1\r\nB:2", b" a\r\n b\r\n\tc\r\nD: e\r\n", b"a\rb\n: c\r\nd", b"", b"\r", b":\r\n \r\nX :y\r\n"],
)
def test_fields_are_those_of_the_shared_reader(header: bytes) -> None:
    assert [field.raw for field in a_mail(octets=header).fields] == list(raw_fields(header))
