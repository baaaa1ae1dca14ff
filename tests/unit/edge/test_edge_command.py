"""Command lines, taken apart."""

import pytest

from tripost_edge.session import replies
from tripost_edge.session.command import EVENTS, NOT_IMPLEMENTED, Command, parse_command, parse_mail
from tripost_shared.mail.failures import PermanentFailure


@pytest.mark.parametrize(
    ("line", "command"),
    [
        pytest.param(b"ehlo client.example", Command("EHLO", "client.example"), id="any case"),
        pytest.param(b"NOOP  a  b \t", Command("NOOP", "a  b"), id="white space at both ends"),
        pytest.param("MAIL FROM:<\u00e4@b.example>".encode(), Command("MAIL", "FROM:<\u00e4@b.example>"), id="UTF-8"),
    ],
)
def test_verb_and_argument(line: bytes, command: Command) -> None:
    assert parse_command(line, 2048) == command


@pytest.mark.parametrize("line", ["r\u017fet", "\u017ftarttls", "qu\u0131t"])
def test_letters_that_only_look_like_a_verb_in_upper_case_are_none(line: str) -> None:
    """A long s becomes S, a dotless i becomes I: a proxy that knows ASCII alone has seen another command."""
    assert parse_command(line.encode(), 2048).verb not in EVENTS


def test_parameters_stand_between_spaces_and_tabs() -> None:
    given = parse_mail("FROM:<a@b.example> \tSIZE=1\t BODY=7BIT ")
    assert given.parameters == {"SIZE": "1", "BODY": "7BIT"}


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u0085"])
def test_other_white_space_separates_no_parameters(space: str) -> None:
    """A proxy that knows ASCII alone has seen one parameter."""
    given = parse_mail(f"FROM:<a@b.example> SIZE=1{space}BODY=8BITMIME")
    assert given.parameters == {"SIZE": f"1{space}BODY=8BITMIME"}
    with pytest.raises(PermanentFailure) as refused:
        parse_mail(f"FROM:<a@b.example> {space}SIZE=1")
    assert refused.value.reply == replies.BAD_PARAMETER


def test_what_is_not_implemented_has_no_place_in_a_session() -> None:
    assert NOT_IMPLEMENTED.isdisjoint(EVENTS)
