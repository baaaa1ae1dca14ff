"""The table of phases and events."""

import pytest

from tripost_edge.session import replies
from tripost_edge.session.phase import NEXT_PHASE, Event, Phase, refusal


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in {Phase.RECEIVING, Phase.CLOSED}])
@pytest.mark.parametrize("event", [Event.HELLO, Event.RSET, Event.OTHER, Event.QUIT])
def test_some_commands_have_their_place_everywhere(phase: Phase, event: Event) -> None:
    assert refusal(phase, event) is None


@pytest.mark.parametrize(
    ("phase", "event", "reply"),
    [
        (Phase.CONNECTED, Event.MAIL, replies.HELLO_FIRST),
        (Phase.CONNECTED, Event.RCPT, replies.BAD_SEQUENCE),
        (Phase.CONNECTED, Event.AUTH, replies.HELLO_FIRST),
        (Phase.GREETED, Event.RCPT, replies.BAD_SEQUENCE),
        (Phase.GREETED, Event.DATA, replies.BAD_SEQUENCE),
        (Phase.MAIL_GIVEN, Event.MAIL, replies.NESTED_MAIL),
        (Phase.MAIL_GIVEN, Event.DATA, replies.NO_VALID_RECIPIENTS),
        (Phase.MAIL_GIVEN, Event.AUTH, replies.BAD_SEQUENCE),
        (Phase.RCPT_GIVEN, Event.STARTTLS, replies.BAD_SEQUENCE),
        (Phase.GREETED, Event.BDAT, replies.BAD_SEQUENCE),
        (Phase.MAIL_GIVEN, Event.BDAT, replies.NO_VALID_RECIPIENTS),
        (Phase.CHUNKING, Event.DATA, replies.BAD_SEQUENCE),
        (Phase.CHUNKING, Event.MAIL, replies.BAD_SEQUENCE),
        (Phase.CHUNKING, Event.RCPT, replies.BAD_SEQUENCE),
        (Phase.DISCARDING, Event.MAIL, replies.BAD_SEQUENCE),
    ],
)
def test_out_of_place_commands_are_refused(phase: Phase, event: Event, reply: object) -> None:
    assert refusal(phase, event) == reply


@pytest.mark.parametrize("event", list(Event))
def test_nothing_happens_after_the_end(event: Event) -> None:
    assert (Phase.CLOSED, event) not in NEXT_PHASE


def test_while_content_comes_nothing_else_is_a_command() -> None:
    ends = {event for phase, event in NEXT_PHASE if phase is Phase.RECEIVING}
    assert ends == {Event.CONTENT, Event.CHUNK, Event.CHUNK_REFUSED}
