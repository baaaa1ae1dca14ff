"""Putting fields on top of a message."""

import pytest

from tripost_shared.mail.top import seam


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"Subject: x\r\n\r\nbody\r\n", id="a header"),
        pytest.param(b"Subject : x\r\n", id="a space before the colon (RFC 5322 §4.5)"),
        pytest.param(b"Subject:\r\n", id="an empty field"),
        pytest.param(b"\r\nbody\r\n", id="an empty header"),
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"X" * 997 + b":", id="a name as long as may be"),
    ],
)
def test_content_with_a_header_needs_nothing(beginning: bytes) -> None:
    assert seam(beginning) == b""


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b" more of our field\r\n\r\n", id="a fold"),
        pytest.param(b"\tmore\r\n", id="a fold by a tab"),
        pytest.param(b"Dear Ann: hello\r\n", id="words before a colon"),
        pytest.param(b"hello\r\nSubject: x\r\n", id="a line without a colon"),
        pytest.param(b": x\r\n", id="no name"),
        pytest.param("Grüße: x\r\n".encode(), id="a name that is not ASCII"),
        pytest.param(b"X" * 998 + b":", id="a name too long"),
        pytest.param(b"\r: x\r\n", id="a bare CR"),
    ],
)
def test_content_that_is_all_body_is_set_apart(beginning: bytes) -> None:
    """The first line of the body would be taken for a header field, or for more of ours."""
    assert seam(beginning) == b"\r\n"


@pytest.mark.parametrize("mark", [b"From ", b">From "])
def test_an_mbox_line_does_not_end_the_header_below_it(mark: bytes) -> None:
    assert seam(mark + b"ann@sender.example Thu Jan  1 00:00:00 2026\r\nSubject: x\r\n\r\n") == b"X-Mailbox-Line: "
