"""Lines that are too long, and lines without end: bounded in memory, and in what is read of them."""

import pytest

from tripost_edge.session.command import MAX_AUTH_LINE_OCTETS
from tripost_edge.session.inbox import MAX_EXCESS_OCTETS, EndlessLine, Inbox, LineTooLong
from tripost_edge.session.pipelining import take_recipients

PIECE = b"x" * 1024
MOST = MAX_AUTH_LINE_OCTETS + MAX_EXCESS_OCTETS


def in_pieces(octets: bytes, size: int) -> Inbox:
    """Let the octets arrive in pieces, each looked at for a line, as a session does."""
    inbox = Inbox()
    for start in range(0, len(octets) - size, size):
        inbox.append(octets[start : start + size])
        assert inbox.take_line() is None
        assert len(inbox) <= MAX_AUTH_LINE_OCTETS + size
    inbox.append(octets[max(0, (len(octets) - 1) // size * size) :])
    return inbox


@pytest.mark.parametrize("size", [1000, 16_384, MOST + 2])
def test_a_line_that_is_too_long_is_dropped_up_to_its_end(size: int) -> None:
    inbox = in_pieces(b"x" * MOST + b"\r\n", size)
    with pytest.raises(LineTooLong):
        inbox.take_line()
    inbox.append(b"NOOP\r\n")
    assert inbox.take_line() == b"NOOP"


@pytest.mark.parametrize("size", [1000, 16_384, MOST + 3])
def test_however_it_arrives_a_line_beyond_the_excess_has_no_end(size: int) -> None:
    inbox = in_pieces(b"x" * (MOST + 1) + b"\r\n", size)
    with pytest.raises(EndlessLine):
        inbox.take_line()


def test_of_a_line_without_end_no_more_is_held_than_of_a_long_one() -> None:
    inbox = Inbox()
    for _ in range(MOST // len(PIECE)):
        inbox.append(PIECE)
        assert inbox.take_line() is None
        assert len(inbox) <= MAX_AUTH_LINE_OCTETS + len(PIECE)
    inbox.append(PIECE)
    with pytest.raises(EndlessLine):
        inbox.take_line()


def test_a_recipient_without_end_among_pipelined_ones_is_left_for_its_turn() -> None:
    inbox = Inbox()
    inbox.append(b"RCPT TO:<ann@dest.example>\r\nRCPT TO:<" + b"x" * MOST + b"\r\n")
    assert take_recipients(inbox, 2048) == ["TO:<ann@dest.example>"]
    with pytest.raises(EndlessLine):
        inbox.take_line()
