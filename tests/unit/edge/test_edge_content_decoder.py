"""Dot-stuffing and the end of the content, for every cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_edge.session.content_decoder import ContentDecoder, Fault

# Octets that make up every hard case; b"a" stands for all others.
WIRE = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"a", b"\0"]), max_size=24).map(b"".join)


def decode(pieces: list[bytes]) -> tuple[bytes, Fault | None, bytes | None]:
    """Give content, fault and what came after the end (None: no end)."""
    decoder = ContentDecoder()
    content = b""
    for number, piece in enumerate(pieces):
        content += decoder.feed(piece)
        if decoder.is_complete:
            return content, decoder.fault, decoder.rest + b"".join(pieces[number + 1 :])
    return content, decoder.fault, None


@pytest.mark.parametrize(
    ("wire", "content", "rest"),
    [
        pytest.param(b".\r\n", b"", b"", id="empty"),
        pytest.param(b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n", id="pipelined"),
        pytest.param(b"..\r\n.\r\n", b".\r\n", b"", id="a lone dot"),
        pytest.param(b".a\r\n.\r\n", b"a\r\n", b"", id="a dot that was not doubled"),
        pytest.param(b"a\r\n...\r\n.\r\n", b"a\r\n..\r\n", b"", id="two dots"),
        pytest.param(b"\r\n\r\n.\r\n", b"\r\n\r\n", b"", id="empty lines"),
        pytest.param(b"a.\r\n.\r\n", b"a.\r\n", b"", id="dot at the end of a line"),
    ],
)
def test_dots_are_taken_away(wire: bytes, content: bytes, rest: bytes) -> None:
    assert decode([wire]) == (content, None, rest)
    assert decode([bytes((octet,)) for octet in wire]) == (content, None, rest)


@given(WIRE, st.data())
def test_cuts_change_nothing(wire: bytes, data: st.DataObject) -> None:
    wire += b"\r\n.\r\nQUIT\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=8)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    whole, pieced = decode([wire]), decode(pieces)
    assert (whole[1], whole[2]) == (pieced[1], pieced[2]) or {whole[1], pieced[1]} == set(Fault)
    assert whole[2] == pieced[2]
    if whole[1] is None:
        assert whole[0] == pieced[0]


@given(WIRE)
def test_it_agrees_with_a_reader_that_goes_line_by_line(wire: bytes) -> None:
    wire += b"\r\n.\r\n"
    lines = wire.split(b"\r\n")
    end = lines.index(b".")
    content = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:end])
    has_fault = any(octet in line for line in lines[:end] for octet in (b"\r", b"\n", b"\0"))
    decoded, fault, rest = decode([wire])
    assert rest == b"\r\n".join(lines[end + 1 :])
    assert (fault is not None) == has_fault
    if not has_fault:
        assert decoded == content


@given(st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""))))
def test_what_a_client_stuffs_comes_out_as_it_was(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    wire = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"
    assert decode([wire]) == (content, None, b"")
