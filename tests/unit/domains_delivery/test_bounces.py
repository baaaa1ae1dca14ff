"""Whether the sender is told of a failure, and the DSN's text (RFC 3464)."""

import quopri
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_domains.bounce.dsn import MAX_HEADER_OCTETS, compose
from tripost_domains.bounce.policy import why_no_bounce
from tripost_domains.bounce.report import Report, ReportedRecipient
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.reply import SmtpReply

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MESSAGE_ID = "1k3v9q2m8f0abcde.1"
DSN_ID = "1k3v9q2m8f0abcdf.1"
HEADER = b"Received: from client\r\nMessage-ID: <one@sender.example>\r\nSubject: Hello\r\n"


def a_failure(
    address: str = "bob@dest.example",
    reply: SmtpReply | None = None,
    original: str = "",
    remote: str = "mx.dest.example",
) -> ReportedRecipient:
    return ReportedRecipient(address, original, reply or SmtpReply(550, "5.1.1", "No such user"), remote, NOW)


def a_report(
    *failures: ReportedRecipient, header: bytes = HEADER, envid: str = "", sender: str = "ann@sender.example"
) -> Report:
    return Report(MESSAGE_ID, "mail.ours.example", sender, NOW, NOW, envid, header, failures or (a_failure(),))


def parsed(report: Report) -> EmailMessage:
    octets = compose(report, DSN_ID, "report-0123456789")
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    message = message_from_bytes(octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def status_groups(message: EmailMessage) -> list[Message]:
    status = list(message.iter_parts())[1].get_payload()
    assert isinstance(status, list)
    return [group for group in status if isinstance(group, Message)]


def test_a_dsn_is_a_report_of_three_parts() -> None:
    message = parsed(a_report())
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert not message.defects
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["To"] == "ann@sender.example"
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mail.ours.example>"
    assert message["In-Reply-To"] == "<one@sender.example>"


def test_each_recipient_has_a_group_with_the_remote_reply() -> None:
    ours = a_failure("eve@dest.example", SmtpReply(550, "5.4.7", "Delivery time expired"), remote="")
    first = a_failure(original="rfc822;Bob@dest.example")
    about, bob, eve = status_groups(parsed(a_report(first, ours, envid="QQ314159")))
    assert about["Reporting-MTA"] == "dns; mail.ours.example"
    assert about["Original-Envelope-Id"] == "QQ314159"
    assert about["X-Tripost-Id"] == MESSAGE_ID
    assert bob["Final-Recipient"] == "rfc822; bob@dest.example"
    assert bob["Original-Recipient"] == "rfc822; Bob@dest.example"
    assert (bob["Action"], bob["Status"]) == ("failed", "5.1.1")
    assert bob["Remote-MTA"] == "dns; mx.dest.example"
    assert bob["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert eve["Remote-MTA"] is None
    assert eve["Status"] == "5.4.7"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(r'"bad  q\"x"@dest.example', id="several blanks"),
        pytest.param(f'"{"a " * 31}"@{"d" * 60}.example', id="long, with a blank where a field might be folded"),
        pytest.param(f'" {"a" * 61}"@{"d" * 60}.example', id="a blank before all else"),
    ],
)
def test_a_quoted_recipient_keeps_each_of_its_blanks(address: str) -> None:
    """Another number of them is another address (RFC 5321 §4.1.2)."""
    report = a_report(a_failure(address, original=f"rfc822;{address}"))
    assert f"\r\nFinal-Recipient: rfc822; {address}\r\n".encode() in compose(report, DSN_ID, "report-0123456789")
    _, group = status_groups(parsed(report))
    assert group["Original-Recipient"] == f"rfc822; {address}"


GIVEN_UP = SmtpReply(550, "5.4.7", "Not delivered since 2026-01-01 12:00 UTC, given up")


def test_what_expired_quotes_the_host_with_its_own_words_only() -> None:
    """RFC 3464 §2.3.6: the actual diagnostic code; that we have given up is ours to say."""
    expired = ReportedRecipient(
        "bob@dest.example", "", GIVEN_UP, "mx.dest.example", NOW, SmtpReply(452, "4.2.2", "Mailbox full")
    )
    message = parsed(a_report(expired))
    _, bob = status_groups(message)
    assert bob["Status"] == "5.4.7"
    assert bob["Remote-MTA"] == "dns; mx.dest.example"
    assert bob["Diagnostic-Code"] == "smtp; 452 4.2.2 Mailbox full"
    text = next(message.iter_parts()).get_content()
    assert "the reason: 550 5.4.7 Not delivered since 2026-01-01 12:00 UTC, given up\r\n" in text
    assert "mx.dest.example said: 452 4.2.2 Mailbox full\r\n" in text


def test_what_expired_by_our_own_words_names_no_host() -> None:
    expired = ReportedRecipient("bob@dest.example", "", GIVEN_UP, "", NOW, SmtpReply(451, "4.4.1", "No host answers"))
    message = parsed(a_report(expired))
    _, bob = status_groups(message)
    assert (bob["Status"], bob["Remote-MTA"]) == ("5.4.7", None)
    assert bob["Diagnostic-Code"] == "x-tripost; 451 4.4.1 No host answers"
    assert "the last attempt: 451 4.4.1 No host answers\r\n" in next(message.iter_parts()).get_content()


def test_a_reply_without_enhanced_code_has_its_class_for_status() -> None:
    _, bob = status_groups(parsed(a_report(a_failure(reply=SmtpReply(554, "", "No")))))
    assert bob["Status"] == "5.0.0"


def test_the_original_header_comes_back() -> None:
    part = list(parsed(a_report()).iter_parts())[2]
    assert part.get_payload(decode=True) == HEADER


def test_a_long_header_is_cut_at_a_field() -> None:
    fields = b"".join(b"X-Field-%d: %s\r\n" % (number, b"v" * 100) for number in range(500))
    part = list(parsed(a_report(header=fields)).iter_parts())[2]
    kept = part.get_payload(decode=True)
    assert isinstance(kept, bytes)
    assert len(kept) <= MAX_HEADER_OCTETS
    assert fields.startswith(kept)
    assert fields[len(kept) :].startswith(b"X-Field-")


def test_a_header_with_eight_bits_or_long_lines_arrives_whole() -> None:
    header = b"Subject: gr\xc3\xbc\xc3\x9fe\r\nX-Long: " + b"x" * 2000 + b"\r\n"
    part = list(parsed(a_report(header=header)).iter_parts())[2]
    assert part.get_payload(decode=True) == header


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        pytest.param(HEADER, b"text/rfc822-headers", id="ASCII"),
        pytest.param("Subject: grüße\r\n".encode(), b"text/rfc822-headers; charset=utf-8", id="internationalised"),
        pytest.param("Subject: grüße\r\n".encode("latin-1"), b"text/rfc822-headers", id="no UTF-8"),
    ],
)
def test_an_internationalised_header_comes_back_as_such(header: bytes, kind: bytes) -> None:
    """A reader without that word takes it for ASCII (RFC 2046 §4.1.2)."""
    octets = compose(a_report(header=header), DSN_ID, "report-0123456789")
    part = octets.split(b"--report-0123456789")[3]
    assert part.startswith(b"\r\nContent-Type: " + kind + b"\r\n")
    assert header in quopri.decodestring(part)


def test_an_internationalised_recipient_is_written_in_ascii() -> None:
    """RFC 6533 §3."""
    failure = a_failure("grüße@dest.example", original="utf-8;größe@dest.example")
    _, group = status_groups(parsed(a_report(failure)))
    assert group["Final-Recipient"] == r"utf-8; gr\x{FC}\x{DF}e@dest.example"
    assert group["Original-Recipient"] == r"utf-8; gr\x{F6}\x{DF}e@dest.example"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mx.dest.example", "mx.dest.example"),
        ("192.0.2.1", "[192.0.2.1]"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
    ],
)
def test_a_next_hop_that_is_an_address_is_named_as_a_literal(host: str, name: str) -> None:
    """RFC 3464 §2.2.2 by RFC 5321 §4.1.3."""
    _, group = status_groups(parsed(a_report(a_failure(remote=host))))
    assert group["Remote-MTA"] == f"dns; {name}"


PIECES = [
    "a",
    " ",
    "<",
    ">",
    ";",
    ":",
    "=",
    "\r",
    "\n",
    "\r\n\r\n",
    "\0",
    "\t",
    "\x1b",
    "ü",
    "\u2028",
    "--report-0123456789",
]
GROUP_FIELDS = {
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Last-Attempt-Date",
}
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@given(reply=HOSTILE, address=HOSTILE, written_to=HOSTILE, original=HOSTILE, envid=HOSTILE, remote=HOSTILE)
def test_nothing_that_others_said_begins_a_field_or_a_part(
    reply: str, address: str, written_to: str, original: str, envid: str, remote: str
) -> None:
    failure = replace(
        a_failure(address, SmtpReply(550, "5.1.1", reply), original, remote), written_to=written_to, places=(remote,)
    )
    message = parsed(a_report(failure, envid=envid))
    about, group = status_groups(message)
    assert len(list(message.iter_parts())) == 3
    assert set(about.keys()) <= {"Original-Envelope-Id", "Reporting-MTA", "X-Tripost-Id", "Arrival-Date"}
    assert set(group.keys()) <= GROUP_FIELDS
    assert group["Action"] == "failed"


def a_message(reverse_path: str = "ann@sender.example", direction: Direction = Direction.INBOUND) -> SpooledMessage:
    return SpooledMessage(
        MESSAGE_ID, NOW, direction, Client("192.0.2.1"), Envelope(reverse_path, ()), Content.of(b"\r\n")
    )


@pytest.mark.parametrize(
    ("message", "notify", "told"),
    [
        pytest.param(a_message(), (), True, id="by default"),
        pytest.param(a_message(), ("FAILURE", "DELAY"), True, id="asked for"),
        pytest.param(a_message(), ("NEVER",), False, id="NOTIFY=NEVER"),
        pytest.param(a_message(), ("SUCCESS",), False, id="asked for success only"),
        pytest.param(a_message(""), (), False, id="null reverse-path"),
        pytest.param(a_message("", Direction.BOUNCE), (), False, id="a bounce that fails"),
        pytest.param(a_message("x@y.example", Direction.BOUNCE), (), False, id="a bounce, whatever its reverse-path"),
    ],
)
def test_who_is_told(message: SpooledMessage, notify: tuple[str, ...], told: bool) -> None:
    assert (why_no_bounce(message, [Recipient("bob@dest.example", notify)]) == "") is told
