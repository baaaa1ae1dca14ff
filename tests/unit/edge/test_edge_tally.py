"""What a client does too often in one session."""

import pytest

from tripost_edge.session import replies
from tripost_edge.session.tally import Tally
from tripost_shared.edge_limits import SessionLimits
from tripost_shared.mail.reply import TRY_LATER, SmtpReply

LIMITS = SessionLimits(
    errors_per_session=2,
    errors_before_delay=1,
    error_delay_seconds=3,
    unknown_recipients_per_session=2,
    refusals_per_session=2,
    idle_commands_per_session=10,
    commands_per_session=100,
)


@pytest.mark.parametrize(
    ("reply", "taken", "end"),
    [
        pytest.param(replies.NOT_RECOGNISED, 2, replies.TOO_MANY_ERRORS, id="slips of the protocol"),
        pytest.param(
            replies.UNKNOWN_RECIPIENT.with_id("x"), 2, replies.TOO_MANY_UNKNOWN_RECIPIENTS, id="unknown recipients"
        ),
        pytest.param(replies.RELAYING_DENIED, 2, replies.TOO_MANY_ERRORS, id="other refusals"),
        pytest.param(TRY_LATER, 29, replies.TOO_MANY_ERRORS, id="temporary refusals, ten for one"),
    ],
)
def test_so_many_refusals_are_taken_and_the_next_ends_the_session(reply: SmtpReply, taken: int, end: SmtpReply) -> None:
    tally = Tally()
    assert [tally.refusal(reply, LIMITS) for _ in range(taken)] == [None] * taken
    assert tally.refusal(reply, LIMITS) == end


def test_too_many_recipients_in_one_message_are_no_refusals() -> None:
    tally = Tally()
    assert all(tally.refusal(replies.TOO_MANY_RECIPIENTS, LIMITS) is None for _ in range(1000))


def test_a_message_is_worth_new_refusals_and_idle_commands_but_no_slips_and_no_guesses() -> None:
    tally = Tally()
    for reply in (replies.NOT_RECOGNISED, replies.UNKNOWN_RECIPIENT, replies.RELAYING_DENIED):
        assert [tally.refusal(reply, LIMITS) for _ in range(2)] == [None, None]
    assert [tally.idle_command(LIMITS) for _ in range(10)] == [None] * 10
    tally.message_accepted(1)
    assert tally.refusal(replies.RELAYING_DENIED, LIMITS) is None
    assert tally.idle_command(LIMITS) is None
    assert tally.refusal(replies.NOT_RECOGNISED, LIMITS) == replies.TOO_MANY_ERRORS
    assert tally.refusal(replies.UNKNOWN_RECIPIENT, LIMITS) == replies.TOO_MANY_UNKNOWN_RECIPIENTS


def test_commands_taken_together_count_each() -> None:
    tally = Tally()
    assert tally.command(LIMITS, count=100) is None
    assert tally.command(LIMITS) == replies.TOO_MANY_COMMANDS


def test_replies_to_slips_alone_are_held_back_and_the_first_ones_are_not() -> None:
    tally = Tally()
    held_back = []
    for reply in (replies.NOT_RECOGNISED, replies.BAD_SEQUENCE, replies.RELAYING_DENIED):
        tally.refusal(reply, LIMITS)
        held_back.append(tally.delay_seconds(reply, LIMITS))
    assert held_back == [0, 3, 0]
