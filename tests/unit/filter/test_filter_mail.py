"""The mail that checks are given."""

from tripost_filter.mail import LARGE_OCTETS, MAX_FIELDS, Mail
from unit.filter.mails import LETTER, STRANGER, a_mail


def test_header_and_body_are_split_at_the_empty_line() -> None:
    mail = a_mail(octets=b"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\nmore\r\n")
    assert (mail.header, mail.body) == (b"A: 1\r\nB: 2\r\n", b"body\r\n\r\nmore\r\n")


def test_fields_keep_their_octets_and_have_names_in_lower_case() -> None:
    mail = a_mail(octets=b"Subject : a\r\n b\r\nnonsense\r\nsubject:c\r\n\r\n")
    assert [field.name for field in mail.fields] == [b"subject", b"", b"subject"]
    assert mail.fields[0].raw == b"Subject : a\r\n b\r\n"
    assert mail.fields[0].value == b" a\r\n b\r\n"
    assert [field.value for field in mail.fields_of(b"subject")] == [b" a\r\n b\r\n", b"c\r\n"]


def test_before_the_content_there_are_no_fields() -> None:
    mail = Mail(STRANGER)
    assert (mail.fields, mail.body, mail.reverse_path) == ((), b"", None)


def test_the_sender_is_the_address_of_the_reverse_path() -> None:
    assert str(a_mail(reverse_path="ann@sender.example").sender) == "ann@sender.example"
    assert a_mail(reverse_path="").sender is None
    assert a_mail(reverse_path="not an address").sender is None


def test_a_header_beyond_all_bounds_is_read_in_part() -> None:
    mail = a_mail(octets=b"X: y\r\n" * 100_000 + b"\r\n")
    assert len(mail.fields) == MAX_FIELDS + 1
    assert not mail.is_whole
    assert a_mail(octets=LETTER).is_whole


def test_large_is_what_takes_too_long_on_the_event_loop() -> None:
    assert not a_mail(octets=LETTER).is_large
    assert a_mail(octets=b"x" * (LARGE_OCTETS + 1)).is_large
