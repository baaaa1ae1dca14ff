"""What strangers write takes time that grows with its length, not with its square: all sessions wait meanwhile."""

import codecs
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tripost_edge.session.author_field import NoAuthors, authors_of
from tripost_edge.session.authserv_id import claims_to_be
from tripost_edge.session.command import parse_mail
from tripost_edge.session.encoded_words import with_words_decoded
from tripost_edge.session.header_inspection import inspect_header
from tripost_edge.session.loop import hosts_in_loop
from tripost_shared.mail.address import Address, InvalidAddress
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.xtext import NoXtext, from_utf8_address, from_xtext

US = "mx.tripost.example"
TIMES = 4  # so much longer is the long one
MOST_GROWTH = 10  # of its time: 4 when that grows as the length does, 16 with its square
OCTETS = 2000  # of the short one; the long one is what an address field may have


def authors(value: bytes) -> None:
    authors_of((value,))


def header(octets: bytes) -> None:
    inspect_header(octets + b"\r\n", US)
    hosts_in_loop(octets + b"\r\n")


def words(octets: bytes) -> None:
    with_words_decoded(octets.decode())


def results(value: bytes) -> None:
    claims_to_be(US, value)


def command(octets: bytes) -> None:
    parse_mail(octets.decode())


def address(octets: bytes) -> None:
    Address.parse(octets.decode())


def xtext(octets: bytes) -> None:
    from_xtext(octets.decode())


def utf8_address(octets: bytes) -> None:
    from_utf8_address(octets.decode())


@pytest.mark.parametrize(
    ("read", "start", "unit", "end"),
    [
        (authors, b"", b"a", b" <u@local.test>"),
        (authors, b"=?", b"a", b" <u@local.test>"),
        (authors, b'"<@', b"a", b'" <u@local.test>'),
        (authors, b"", b"=?*", b" <u@local.test>"),
        (authors, b"", b"()", b"u@local.test"),
        (authors, b"", b"(", b" <u@local.test>"),
        (authors, b"u@", "\u0644\u200c".encode(), b""),
        (authors, b"u@", b"a-", b"!"),
        (authors, b'"', b"\\a", b'"@local.test'),
        (words, b"=?", b"a", b""),
        (words, b"=?a*", b"*", b""),
        (words, b"?=", b" ", b"=?"),
        (words, b"=?punycode?q?b-", b"9a", b"?="),
        (words, b"=?idna?q?xn--", b"9a", b"?="),
        (words, b"=?utf-7?q?", b"+AGE-", b"?="),
        (results, b"=?", b"a", b""),
        (results, b"", b"(", b""),
        (results, b"i", b" ", b""),
        (header, b"From", b" ", b""),
        (header, b"From:", b"\r\n ", b""),
        (header, b"Subject", b"\r\n ", b""),
        (header, b"X-Tripost-", b"a", b" "),
        (header, b"", b"\xef\xbb\xbf", b""),
        (header, b"Received: " + US.encode(), b"(", b""),
        (header, b"Received: " + US.encode() + b" by", b" ", b";"),
        (header, b"Received: " + US.encode(), b" by", b" ;"),
        (command, b"FROM:", b" ", b""),
        (command, b'FROM:<"', b'"', b""),
        (command, b'FROM:<"', b"\\\\", b">"),
        (command, b"FROM:<>", b" a=b", b"\xc3\xa4"),
        (address, b"", b"a.", b"@"),
        (xtext, b"", b"+2B", b"+"),
        (utf8_address, b"", b"\\x{41}", b"\\"),
    ],
)
def test_time_grows_as_the_length_does(read: Callable[[bytes], None], start: bytes, unit: bytes, end: bytes) -> None:
    short = start + unit * (OCTETS // len(unit)) + end
    long = start + unit * (OCTETS * TIMES // len(unit)) + end
    # A pause of the machine makes one try slow, and seldom each one.
    assert any(_seconds(read, long) < MOST_GROWTH * _seconds(read, short) + 0.001 for _ in range(5))


@pytest.mark.parametrize("charset", ["x-nowhere", "no.such.charset", "n" * 1000, "punycode"])
def test_no_codec_is_looked_up_by_a_name_that_is_no_charset(charset: str) -> None:
    """Each look-up reads the disk, and its result is kept for good."""
    asked: list[str] = []
    codecs.register(asked.append)
    try:
        assert with_words_decoded(f"=?{charset}?q?a=40b?=") == "a@b"
    finally:
        codecs.unregister(asked.append)
    assert asked == []


@pytest.mark.parametrize(
    "word",
    ["=?UTF-7?q?a+AEA-b?=", "=?utf-16be?b?AGEAQABi?=", "=?cp037?b?gXyC?=", "=?ISO-8859-1*en?Q?a@b?=", "=??q?a@b?="],
)
def test_charsets_that_readers_know_are_decoded(word: str) -> None:
    assert with_words_decoded(word) == "a@b"


def _seconds(read: Callable[[bytes], None], octets: bytes) -> float:
    """Give the quickest of some runs, in processor time."""
    return min(_once(read, octets) for _ in range(3))


def _once(read: Callable[[bytes], None], octets: bytes) -> float:
    begun = time.process_time()
    with suppress(NoAuthors, InvalidAddress, PermanentFailure, NoXtext):
        read(octets)
    return time.process_time() - begun
