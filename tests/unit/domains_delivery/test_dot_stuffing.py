"""Dot-stuffing (RFC 5321 §4.5.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_domains.delivery.relay.stuffing import DotStuffer


def stuffed(*pieces: bytes) -> bytes:
    stuffer = DotStuffer()
    return b"".join(map(stuffer.feed, pieces)) + stuffer.end()


@pytest.mark.parametrize(
    ("pieces", "wire"),
    [
        pytest.param((b"a\r\n",), b"a\r\n.\r\n", id="nothing to do"),
        pytest.param((b".a\r\n..\r\n.\r\n",), b"..a\r\n...\r\n..\r\n.\r\n", id="dots"),
        pytest.param((b"a\r\n", b".b\r\n"), b"a\r\n..b\r\n.\r\n", id="dot begins a piece"),
        pytest.param((b"a\r", b"\n", b".b\r\n"), b"a\r\n..b\r\n.\r\n", id="line end across pieces"),
        pytest.param((b"a.\r\nb.c\r\n",), b"a.\r\nb.c\r\n.\r\n", id="dots within lines"),
        pytest.param((b"a",), b"a\r\n.\r\n", id="no last line end"),
        pytest.param((b"a\nb\rc\r\n",), b"a\nb\rc\r\n.\r\n", id="octets stay as they are"),
        pytest.param((), b".\r\n", id="nothing"),
    ],
)
def test_each_dot_that_begins_a_line_is_doubled(pieces: tuple[bytes, ...], wire: bytes) -> None:
    assert stuffed(*pieces) == wire


@given(st.lists(st.text(".\r\na", max_size=6).map(str.encode), max_size=8))
def test_the_pieces_do_not_matter(pieces: list[bytes]) -> None:
    assert stuffed(*pieces) == stuffed(b"".join(pieces))


@given(st.lists(st.text(".a", max_size=4).map(str.encode), max_size=8))
def test_removing_the_dots_gives_the_content_back(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    received = stuffed(content).removesuffix(b".\r\n").split(b"\r\n")
    assert b"\r\n".join(line.removeprefix(b".") for line in received) == content
