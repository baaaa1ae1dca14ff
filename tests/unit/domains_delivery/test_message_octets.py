"""Fields on top of content."""

from collections.abc import AsyncIterator

import pytest

from tripost_domains.delivery.octets import joined, joined_in_pieces

TOP = b"Received: by mail.ours.example\r\n"


async def cut(octets: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), size):
        yield octets[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 100, 998, 5000])
@pytest.mark.parametrize("top", [TOP, b""], ids=["a trace", "nothing on top"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"Subject: x\r\n\r\n" + b"body\r\n" * 500, id="a message"),
        pytest.param(b"X" * 997 + b": y\r\n" + b"body\r\n" * 500, id="the longest name"),
        pytest.param(b" fold\r\n" + b"body\r\n" * 500, id="no header"),
        pytest.param(b"a\r\n", id="a short one without header"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_pieces_make_what_the_whole_would_be(content: bytes, top: bytes, size: int) -> None:
    pieces = [piece async for piece in joined_in_pieces(top, cut(content, size))]
    assert b"".join(pieces) == joined(top, content)


def test_content_without_header_stays_as_it_is_when_nothing_is_put_on_top() -> None:
    assert joined(b"", b" fold\r\n") == b" fold\r\n"
    assert joined(TOP, b" fold\r\n") == TOP + b"\r\n fold\r\n"
