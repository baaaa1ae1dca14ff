"""Line ends in a Maildir."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_domains.delivery.mailbox.line_ends import LfLines, to_lf


@pytest.mark.parametrize(
    ("octets", "written"),
    [
        pytest.param(b"a\r\nb\r\n", b"a\nb\n", id="CRLF"),
        pytest.param(b"a\rb\r", b"a\rb\r", id="CR alone"),
        pytest.param(b"a\nb", b"a\nb", id="LF alone"),
        pytest.param(b"a\r\r\n", b"a\r\n", id="CR before CRLF"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_only_crlf_becomes_lf(octets: bytes, written: bytes) -> None:
    assert to_lf(octets) == written


@given(st.lists(st.text("\r\nab", max_size=6).map(str.encode)))
def test_it_does_not_matter_where_pieces_are_cut(pieces: list[bytes]) -> None:
    lines = LfLines()
    written = b"".join([lines.feed(piece) for piece in pieces]) + lines.end()
    assert written == to_lf(b"".join(pieces))
