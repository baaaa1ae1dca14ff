"""BDAT's argument, and what is read of its chunks, for every cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_edge.session.chunk_reader import Chunk, ChunkReader, parse_chunk
from tripost_edge.session.content_decoder import Fault
from tripost_shared.mail.failures import PermanentFailure

# Octets that make up every hard case; b"a" stands for all others.
CONTENT = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.\r\n", b"a", b"\0"]), max_size=24).map(b"".join)


def read(chunks: list[bytes], *, by_octet: bool = False) -> tuple[bytes, Fault | None]:
    """Give content and fault; the last one of the chunks is said to be it."""
    reader = ChunkReader()
    content = b""
    for number, chunk in enumerate(chunks, 1):
        reader.begin(Chunk(len(chunk), is_last=number == len(chunks)))
        pieces = [bytes((octet,)) for octet in chunk] if by_octet and chunk else [chunk]
        for piece in pieces:
            assert not reader.is_complete
            content += reader.feed(piece)
        assert reader.is_complete
    return content, reader.fault


@pytest.mark.parametrize(
    ("argument", "chunk"),
    [
        ("0", Chunk(0, is_last=False)),
        ("86", Chunk(86, is_last=False)),
        ("0 LAST", Chunk(0, is_last=True)),
        ("1000 last", Chunk(1000, is_last=True)),
        ("007\tLAST", Chunk(7, is_last=True)),
    ],
)
def test_a_chunk_is_announced_by_its_size(argument: str, chunk: Chunk) -> None:
    assert parse_chunk(argument) == chunk


@pytest.mark.parametrize(
    "argument", ["", "LAST", "x", "-1", "+1", "1x", "1 FIRST", "1 LAST LAST", "1LAST", "1_0", "٣", "9" * 16, "1.0"]
)
def test_a_size_that_cannot_be_read_is_no_chunk(argument: str) -> None:
    with pytest.raises(PermanentFailure):
        parse_chunk(argument)


@pytest.mark.parametrize(
    ("chunks", "content"),
    [
        pytest.param([b""], b"", id="nothing"),
        pytest.param([b"a\r\n"], b"a\r\n", id="one line"),
        pytest.param([b"a\r\n", b""], b"a\r\n", id="an empty last chunk"),
        pytest.param([b".\r\n..\r\n"], b".\r\n..\r\n", id="dots are content"),
        pytest.param([b"a\r\n.\r\nb"], b"a\r\n.\r\nb\r\n", id="the end mark of DATA is content, too"),
        pytest.param([b"a"], b"a\r\n", id="the last line is ended"),
        pytest.param([b"a\r\nb", b"", b""], b"a\r\nb\r\n", id="though chunks without octets follow"),
        pytest.param([b"a\r", b"\nb\r\n"], b"a\r\nb\r\n", id="CRLF cut by a chunk's end"),
    ],
)
def test_chunks_are_the_content_as_it_is(chunks: list[bytes], content: bytes) -> None:
    assert read(chunks) == (content, None)
    assert read(chunks, by_octet=True) == (content, None)


@given(CONTENT, st.data())
def test_cuts_change_nothing(content: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(content)), max_size=8)))
    chunks = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    lines = content.split(b"\r\n")
    has_fault = any(octet in line for line in lines for octet in (b"\r", b"\n", b"\0"))
    for by_octet in (False, True):
        given_back, fault = read(chunks, by_octet=by_octet)
        assert (fault is not None) == has_fault
        if not has_fault:
            assert given_back == (content + b"\r\n" if lines[-1] else content)
