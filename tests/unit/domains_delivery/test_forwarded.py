"""What a DSN tells of a recipient to whom an alias led (RFC 3464 §4.2)."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_domains.bounce.dsn import compose
from tripost_domains.bounce.forwarded import UNNAMED_HOST, as_told
from tripost_domains.bounce.report import Report, ReportedRecipient
from tripost_shared.mail.reply import SmtpReply

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOST = "mx1.provider.example[192.0.2.7]:25"


def a_failure(
    text: str = "No such user",
    *,
    address: str = "bob@other.example",
    written_to: str = "info@dest.example",
    remote: str = "mx1.provider.example",
    places: tuple[str, ...] = (HOST, "other.example"),
) -> ReportedRecipient:
    return ReportedRecipient(
        address, "", SmtpReply(550, "5.1.1", text), remote, NOW, written_to=written_to, places=places
    )


def told(failure: ReportedRecipient) -> ReportedRecipient:
    (one,) = as_told([failure])
    return one


def test_the_sender_is_told_of_the_address_that_he_wrote_to() -> None:
    one = told(a_failure())
    assert (one.address, one.written_to, one.places) == ("info@dest.example", "", ())
    assert (one.remote_mta, str(one.reply)) == (UNNAMED_HOST, "550 5.1.1 No such user")


@pytest.mark.parametrize(
    ("said", "is_told"),
    [
        pytest.param("<bob@other.example>: unknown", "<info@dest.example>: unknown", id="the address"),
        pytest.param("<BOB@Other.Example>: unknown", "<info@dest.example>: unknown", id="in other letters"),
        pytest.param(
            "bob@other.example... Bob unknown", "info@dest.example... (withheld) unknown", id="its local part"
        ),
        pytest.param("ask postmaster@other.example", "ask postmaster@(withheld)", id="another address there"),
        pytest.param("to=bob@other.example", "to=info@dest.example", id="behind an equals sign"),
        pytest.param("bobby is no user", "bobby is no user", id="what begins like its local part"),
        pytest.param("no relay to other.example.", "no relay to (withheld).", id="its domain"),
        pytest.param("see https://www.other.example/why", "see https://(withheld)/why", id="a name below it"),
        pytest.param("?to=bob%40other.example&", "?to=(withheld)%(withheld)&", id="the address in a URL"),
        pytest.param("mx1.provider.example is full", "(withheld) is full", id="its mail host"),
        pytest.param(f"No connection to {HOST}: refused", "No connection to (withheld): refused", id="where we tried"),
        pytest.param("connect to 192.0.2.7 failed", "connect to (withheld) failed", id="its mail host's address"),
        pytest.param("Spam from 198.51.100.1, see rules", "Spam from 198.51.100.1, see rules", id="nothing of it"),
    ],
)
def test_what_was_said_is_told_without_what_would_tell_of_the_recipient(said: str, is_told: str) -> None:
    last = SmtpReply(452, "4.2.2", said)
    one = told(replace(a_failure(said), last_reply=last))
    assert one.reply.text == is_told
    assert one.last_reply == SmtpReply(452, "4.2.2", is_told)


@pytest.mark.parametrize(
    ("address", "said", "is_told"),
    [
        pytest.param("bob+shop@other.example", "User Bob unknown", "User (withheld) unknown", id="without its detail"),
        pytest.param(
            "bob+shop@other.example", "bob+shop, bob@other.example", "(withheld), (withheld)@(withheld)", id="with it"
        ),
        pytest.param(
            "a+shop@other.example", "This is a dead end", "This is a dead end", id="a word without its detail"
        ),
        pytest.param(
            '"john doe"@other.example', "User john doe is unknown", "User (withheld) is unknown", id="without quotes"
        ),
        pytest.param(
            r'"john \"d\" doe"@other.example', 'No john "d" doe here', "No (withheld) here", id="without backslashes"
        ),
        pytest.param('" "@other.example', "No space ( ) left", "No space ( ) left", id="quotes around a space"),
        pytest.param("jos\u00e9@other.example", "jose\u0301 unknown", "(withheld) unknown", id="its accent apart"),
        pytest.param("jose\u0301@other.example", "jos\u00e9 unknown", "(withheld) unknown", id="its accent in one"),
        pytest.param(
            "jose\u0301@other.example",
            "<jose\u0301@other.example> unknown",
            "<info@dest.example> unknown",
            id="both apart",
        ),
        pytest.param("bob@xn--mnchen-3ya.example", "no m\u00fcnchen.example", "no (withheld)", id="U-labels"),
        pytest.param("bob@xn--mnchen-3ya.example", "no mu\u0308nchen.example", "no (withheld)", id="U-labels, apart"),
        pytest.param("bob@xn--mnchen-3ya.example", "no XN--mnchen-3ya.example", "no (withheld)", id="A-labels"),
        pytest.param("bob@xn--0.example", "no xn--0.example", "no (withheld)", id="what is no A-label"),
        pytest.param("bob@a.b.other.example", "no other.example", "no (withheld)", id="a domain above its own"),
        pytest.param(
            "bob@a.dest.example", "a.dest.example of dest.example", "(withheld) of dest.example", id="a known one"
        ),
        pytest.param(
            "bob@other.example", "for example 2.7", "for example 2.7", id="no top-level domain, no half address"
        ),
    ],
)
def test_however_a_reply_spells_the_recipient_it_does_not_tell_of_him(address: str, said: str, is_told: str) -> None:
    assert told(a_failure(said, address=address, places=(HOST,))).reply.text == is_told


def test_the_domain_above_a_mail_host_is_not_told_either() -> None:
    one = told(a_failure("See https://help.provider.example/550", remote="a.mx.provider.example", places=()))
    assert one.reply.text == "See https://(withheld)/550"


def test_what_the_sender_knows_without_its_detail_is_no_secret() -> None:
    one = told(a_failure("info is unknown", address="info+x@other.example", written_to="info@dest.example"))
    assert one.reply.text == "info is unknown"


def test_words_of_ours_stay_ours() -> None:
    assert told(a_failure(remote="")).remote_mta == ""


def test_what_the_sender_knows_by_his_own_address_is_no_secret() -> None:
    said = "dest.example: mailbox of bob is full; info"
    one = told(a_failure(said, address="bob@dest.example", remote="", places=("mailbox", "mailbox")))
    assert one.reply.text == "dest.example: mailbox of (withheld) is full; info"
    assert told(a_failure("info is unknown", address="info@other.example")).reply.text == "info is unknown"


@pytest.mark.parametrize(
    ("address", "written_to"),
    [
        pytest.param("bob@other.example", "", id="the same"),
        pytest.param("bob@other.example", "Bob@Other.example", id="the same in other letters"),
        pytest.param(
            "jos\u00e9@other.example", "Jose\u0301@other.example", id="the same with its accent after the letter"
        ),
    ],
)
def test_of_a_recipient_that_the_sender_wrote_to_all_is_told(address: str, written_to: str) -> None:
    said = f"{address}: mx1.provider.example does not know him"
    failure = a_failure(said, address=address, written_to=written_to)
    assert as_told([failure]) == [failure]


def test_a_reply_for_several_recipients_tells_of_no_other_one_behind_an_alias() -> None:
    said = "Refused for eve@third.example and bob@other.example"
    eve = a_failure(said, address="eve@third.example", written_to="", remote="mx.third.example", places=())
    first, second = as_told([eve, a_failure(said)])
    assert first.reply.text == "Refused for eve@third.example and info@dest.example"
    assert (first.address, first.remote_mta) == ("eve@third.example", "mx.third.example")
    assert second.reply.text == first.reply.text


def test_the_senders_own_address_is_told_whole_where_it_has_a_word_of_the_recipients() -> None:
    one = told(a_failure("<dest@other.example>: no dest here", address="dest@other.example"))
    assert one.reply.text == "<info@dest.example>: no (withheld) here"


def test_several_behind_an_alias_of_whom_the_same_is_said_are_told_of_once() -> None:
    """Else the sender would learn how many there are."""
    carl, dora = (a_failure(address=f"{name}@other.example") for name in ("carl", "dora"))
    full = a_failure("Mailbox full", address="emil@other.example")
    assert [one.reply.text for one in as_told([a_failure(), carl, full, dora])] == ["No such user", "Mailbox full"]


@pytest.mark.parametrize(
    ("written_to", "original", "fields"),
    [
        pytest.param("info@dest.example", "", (None, "rfc822; info@dest.example"), id="an alias"),
        pytest.param(
            "grüße@dest.example", "", (None, r"utf-8; gr\x{FC}\x{DF}e@dest.example"), id="an internationalised alias"
        ),
        pytest.param(
            "info@dest.example",
            "rfc822;Info@Dest.example",
            ("rfc822; Info@Dest.example", "rfc822; info@dest.example"),
            id="with ORCPT",
        ),
    ],
)
def test_the_dsn_has_no_octet_of_where_an_alias_leads(
    written_to: str, original: str, fields: tuple[str | None, str]
) -> None:
    failure = replace(a_failure("<bob@other.example> unknown", written_to=written_to), original=original)
    header = b"Received: from client\r\n\tfor <info@dest.example>\r\nSubject: Hello\r\n"
    report = Report("1k3v9q2m8f0abcde.1", "mail.ours.example", "ann@sender.example", NOW, NOW, "", header, [failure])
    octets = compose(report, "1k3v9q2m8f0abcdf.1", "report-0123456789")
    assert all(secret not in octets for secret in (b"bob", b"other.example", b"provider", b"192.0.2.7"))
    message = message_from_bytes(octets, policy=policy.default)
    status = list(message.iter_parts())[1].get_payload()  # type: ignore[attr-defined]  # a report is an EmailMessage
    group = status[1]
    assert (group["Original-Recipient"], group["Final-Recipient"]) == fields
    assert (group["Remote-MTA"], group["Status"]) == (None, "5.1.1")
    assert group["Diagnostic-Code"].startswith("smtp; 550 5.1.1 <")


PARTS = st.sampled_from(["bob", "bob@other.example", "Other.Example", "192.0.2.7", "a", " ", "<", ".", "-", "é", "@"])


@given(st.lists(PARTS, max_size=30).map("".join))
def test_however_it_is_put_the_address_and_its_domain_are_not_told(said: str) -> None:
    text = told(a_failure(said)).reply.text.lower()
    assert "other.example" not in text
    assert "192.0.2.7" not in text
