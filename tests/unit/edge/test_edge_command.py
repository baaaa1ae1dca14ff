"""Command lines, taken apart."""

import pytest

from tripost_edge.session.command import EVENTS, Command, parse_command


@pytest.mark.parametrize(
    ("line", "command"),
    [
        pytest.param(b"ehlo client.example", Command("EHLO", "client.example"), id="any case"),
        pytest.param(b"NOOP  a  b \t", Command("NOOP", "a  b"), id="white space at both ends"),
        pytest.param("MAIL FROM:<\u00e4@b.example>".encode(), Command("MAIL", "FROM:<\u00e4@b.example>"), id="UTF-8"),
    ],
)
def test_verb_and_argument(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize("line", ["r\u017fet", "\u017ftarttls", "qu\u0131t"])
def test_letters_that_only_look_like_a_verb_in_upper_case_are_none(line: str) -> None:
    """A long s becomes S, a dotless i becomes I: a proxy that knows ASCII alone has seen another command."""
    assert parse_command(line.encode()).verb not in EVENTS
