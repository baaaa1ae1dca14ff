"""Replies of next hops: reading them, and what they mean."""

import pytest

from tripost_domains.delivery.outcome import Result
from tripost_domains.delivery.relay.classify import Step, classify, classify_opening, lost
from tripost_domains.delivery.relay.host import Host
from tripost_domains.delivery.relay.reply import MAX_LINES, MAX_TEXT, MalformedReply, RemoteReply, ReplyParser
from tripost_shared.mail.reply import SmtpReply

HOST = Host("mx.dest.example", "192.0.2.1", 25)


def parsed(octets: bytes) -> RemoteReply | None:
    parser = ReplyParser()
    parser.feed(octets)
    return parser.next()


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        pytest.param(b"250 2.0.0 Ok\r\n", SmtpReply(250, "2.0.0", "Ok"), id="one line"),
        pytest.param(b"250\r\n", SmtpReply(250, "", ""), id="no text"),
        pytest.param(b"250 Ok\n", SmtpReply(250, "", "Ok"), id="bare LF"),
        pytest.param(b"550-5.1.1 No\r\n550 5.1.1 such user\r\n", SmtpReply(550, "5.1.1", "No such user"), id="lines"),
        pytest.param(b"450 5.1.1 Odd\r\n", SmtpReply(450, "", "5.1.1 Odd"), id="enhanced code of another class"),
        pytest.param(b"550 a\x00\x1bb\r\n", SmtpReply(550, "", "a??b"), id="control characters"),
        pytest.param(b"550 5.7.1 caf\xe9\r\n", SmtpReply(550, "5.7.1", "caf\ufffd"), id="no UTF-8"),
    ],
)
def test_a_reply_becomes_one_printable_line(octets: bytes, reply: SmtpReply) -> None:
    remote = parsed(octets)
    assert remote is not None
    assert remote.summary() == reply


def test_the_text_that_is_kept_is_bounded() -> None:
    remote = parsed(b"550-" + b"x" * 3000 + b"\r\n550 end\r\n")
    assert remote is not None
    assert len(remote.summary().text) == MAX_TEXT


@pytest.mark.parametrize("octets", [b"", b"250", b"250-first\r\n", b"250-first\r\n250 la"])
def test_a_reply_that_is_not_complete_is_awaited(octets: bytes) -> None:
    assert parsed(octets) is None


def test_replies_that_come_together_are_told_apart() -> None:
    parser = ReplyParser()
    parser.feed(b"250 one\r\n550 two\r\n35")
    replies = [parser.next(), parser.next(), parser.next()]
    assert [reply.code if reply else None for reply in replies] == [250, 550, None]
    assert not parser.is_empty


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", id="another protocol"),
        pytest.param(b"2500 Ok\r\n", id="four digits"),
        pytest.param(b"150 Ok\r\n", id="1yz"),
        pytest.param(b"250-a\r\n251 b\r\n", id="two codes"),
        pytest.param(b"250 " + b"x" * 5000, id="endless line"),
        pytest.param(b"250-x\r\n" * (MAX_LINES + 1), id="endless lines"),
    ],
)
def test_what_is_no_reply_is_refused(octets: bytes) -> None:
    with pytest.raises(MalformedReply):
        parsed(octets)


@pytest.mark.parametrize(
    ("code", "step", "result"),
    [
        pytest.param(250, Step.END, Result.RELAYED, id="taken"),
        pytest.param(450, Step.RCPT, Result.DEFERRED, id="4yz defers"),
        pytest.param(550, Step.RCPT, Result.FAILED, id="5yz fails"),
        pytest.param(421, Step.MAIL, Result.DEFERRED, id="closing"),
        pytest.param(354, Step.END, Result.DEFERRED, id="go on after the end"),
        pytest.param(250, Step.DATA, Result.DEFERRED, id="done before the content"),
    ],
)
def test_a_reply_settles_the_delivery(code: int, step: Step, result: Result) -> None:
    assert classify(SmtpReply(code, "", "text"), step, HOST).result is result


@pytest.mark.parametrize(
    ("code", "result"), [(421, Result.DEFERRED), (554, Result.DEFERRED), (521, Result.FAILED), (556, Result.FAILED)]
)
def test_a_refusal_before_mail_fails_the_message_only_if_it_says_never(code: int, result: Result) -> None:
    """RFC 7504 §3; a block list's 554 is about us, not about the recipient."""
    assert classify_opening(SmtpReply(code, "", "text"), Step.GREETING, HOST).result is result


@pytest.mark.parametrize(
    ("step", "enhanced", "result"),
    [
        pytest.param(Step.RCPT, "", Result.DEFERRED, id="too many, as of old"),
        pytest.param(Step.RCPT, "5.5.3", Result.DEFERRED, id="too many"),
        pytest.param(Step.RCPT, "5.2.2", Result.FAILED, id="mailbox full"),
        pytest.param(Step.END, "", Result.FAILED, id="message too large"),
    ],
)
def test_552_at_rcpt_is_for_now_unless_it_says_otherwise(step: Step, enhanced: str, result: Result) -> None:
    """RFC 5321 §4.5.3.1.10."""
    assert classify(SmtpReply(552, enhanced, "text"), step, HOST).result is result


def test_a_loss_after_the_final_dot_names_the_uncertainty() -> None:
    outcome = lost(Step.END, HOST, "closed by the host")
    assert outcome.result is Result.DEFERRED
    assert "duplicate" in outcome.detail
    assert lost(Step.CONTENT, HOST, "closed by the host").detail == ""
