"""Replies (RFC 5321 §4.2) and ids."""

from datetime import UTC, datetime

import pytest

from tripost_shared.mail import identifier
from tripost_shared.mail.reply import SmtpReply


def test_each_line_of_a_reply_has_the_enhanced_code() -> None:
    """RFC 2034 §4."""
    reply = SmtpReply(550, "5.1.1", "No such recipient\nSee the documentation")
    assert reply.encoded() == b"550-5.1.1 No such recipient\r\n550 5.1.1 See the documentation\r\n"


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        pytest.param("Gr\u00fc\u00dfe", b"550 5.7.1 Gr??e\r\n", id="not ASCII"),
        pytest.param("a\x1b[2Jb\x00", b"550 5.7.1 a?[2Jb?\r\n", id="controls"),
        pytest.param("a\r\n250 OK", b"550-5.7.1 a\r\n550 5.7.1 250 OK\r\n", id="another line"),
        pytest.param("x" * 600, b"550 5.7.1 " + b"x" * 500 + b"\r\n", id="longer than a line may be"),
    ],
)
def test_whatever_its_text_a_reply_is_one_reply(text: str, octets: bytes) -> None:
    """Some texts come from the DNS."""
    assert SmtpReply(550, "5.7.1", text).encoded() == octets


@pytest.mark.parametrize(
    ("code", "positive", "transient", "permanent"),
    [(250, True, False, False), (354, True, False, False), (451, False, True, False), (550, False, False, True)],
)
def test_a_reply_is_of_one_kind(code: int, *, positive: bool, transient: bool, permanent: bool) -> None:
    """2yz and 3yz go on, 4yz may help later, 5yz is final."""
    reply = SmtpReply(code, "", "x")
    assert (reply.is_positive, reply.is_transient, reply.is_permanent) == (positive, transient, permanent)


def test_session_ids_sort_by_time_and_tell_it() -> None:
    """The nine leading characters are milliseconds."""
    early, late = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), datetime(2026, 1, 2, 3, 4, 5, 679000, UTC)
    first, second = identifier.new_session_id(early), identifier.new_session_id(late)
    assert first < second
    assert first[:9] == identifier.new_session_id(early)[:9] != second[:9]
    assert identifier.is_session_id(first)


def test_a_message_id_names_session_and_transaction() -> None:
    """`session.n`, n from 1."""
    session = identifier.new_session_id(datetime(2026, 1, 1, tzinfo=UTC))
    message = identifier.message_id_of(session, 3)
    assert identifier.is_message_id(message)
    assert identifier.session_of(message) == session
    assert not identifier.is_message_id(f"{session}.0")
    assert not identifier.is_session_id(message)


def test_a_derived_session_id_is_the_same_for_the_same_words_only() -> None:
    """It keeps the time of what it is derived from."""
    message = identifier.message_id_of(identifier.new_session_id(datetime(2026, 1, 1, tzinfo=UTC)), 1)
    derived = identifier.derived_session_id(message, ["bob@dest.example 0"])
    assert identifier.is_session_id(derived)
    assert derived[:9] == message[:9]
    assert derived == identifier.derived_session_id(message, ["bob@dest.example 0"])
    others = [["bob@dest.example 1"], ["bob@dest.example 0", ""], ["eve@dest.example 0"]]
    different = {identifier.derived_session_id(message, words) for words in others}
    assert len(different | {derived, identifier.session_of(message)}) == 5
