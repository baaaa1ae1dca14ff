"""The check for the industry's two test patterns."""

import base64
from collections.abc import Set

import pytest

from tripost_filter.check import MustWait
from tripost_filter.checks.patterns import EICAR, GTUBE, SPAM_FOUND, VIRUS_FOUND, Patterns, Search
from tripost_shared.contracts.filter import Finding
from unit.filter.mails import LETTER, LOGGED_IN, a_mail

PART = b"\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: %s\r\n\r\n%s\r\n--b--\r\n"


def test_the_patterns_are_the_published_ones() -> None:
    assert (len(EICAR), len(GTUBE)) == (68, 68)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(EICAR, id="as it is"),
        pytest.param(PART % (b"base64", base64.encodebytes(EICAR).replace(b"\n", b"\r\n")), id="base64 part"),
        pytest.param(PART % (b"BASE64", base64.b64encode(b"x" + EICAR + b"yz")), id="inside other octets"),
        pytest.param(
            PART % (b"base64", base64.b64encode(b"nothing")) + PART % (b"base64", base64.b64encode(b"PK" + EICAR)),
            id="second part",
        ),
        pytest.param(PART % (b"base64", b"!" + base64.b64encode(EICAR)), id="with an octet that is no base64"),
    ],
)
def test_eicar_is_refused_as_a_virus(text: bytes) -> None:
    finding = Patterns().examine_at_once(a_mail(octets=LETTER + text))
    assert finding is not None
    assert (finding.result, finding.refuse_with) == ("virus", VIRUS_FOUND)


@pytest.mark.parametrize("text", [GTUBE, PART % (b"base64", base64.b64encode(b"Dear all,\r\n" + GTUBE))])
def test_gtube_is_refused_as_spam(text: bytes) -> None:
    finding = Patterns().examine_at_once(a_mail(octets=LETTER + text))
    assert finding is not None
    assert (finding.result, finding.refuse_with) == ("spam", SPAM_FOUND)


def test_a_virus_is_a_virus_in_spam_too() -> None:
    finding = Patterns().examine_at_once(a_mail(octets=LETTER + GTUBE + EICAR))
    assert finding is not None
    assert finding.result == "virus"


def test_our_own_clients_are_examined_too() -> None:
    finding = Patterns().examine_at_once(a_mail(LOGGED_IN, octets=LETTER + EICAR))
    assert finding is not None
    assert finding.result == "virus"


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(LETTER, id="a letter"),
        pytest.param(LETTER + EICAR[:-1], id="all but the last octet"),
        pytest.param(LETTER + PART % (b"base64", b"===="), id="base64 without text"),
        pytest.param(LETTER + PART % (b"base64", b"A"), id="base64 cut short"),
        pytest.param(b"Content-Transfer-Encoding: base64", id="no body"),
        pytest.param(LETTER + b"base64 " * 1000, id="much talk of base64"),
        pytest.param(LETTER + b"base64" * 40_000, id="one long line of it"),
    ],
)
def test_other_mail_is_left_alone(octets: bytes) -> None:
    assert Patterns().examine_at_once(a_mail(octets=octets)) == Finding("patterns", "none")


def found(*pieces: bytes) -> Set[bytes]:
    search = Search()
    for piece in pieces:
        search.update(piece)
    return search.finish()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(EICAR, id="as it is"),
        pytest.param(PART % (b"base64", base64.encodebytes(b"x" + EICAR).replace(b"\n", b"\r\n")), id="base64 part"),
    ],
)
def test_a_pattern_is_found_wherever_a_piece_ends(text: bytes) -> None:
    for place in range(len(text)):
        assert found(text[:place], text[place:]) == {EICAR}
    assert found(*(bytes([octet]) for octet in text)) == {EICAR}


def test_halves_in_two_parts_are_no_pattern() -> None:
    first, second = PART % (b"base64", base64.b64encode(EICAR[:30])), PART % (b"base64", base64.b64encode(EICAR[30:]))
    assert found(first, second) == set()


async def test_a_large_message_is_searched_chunk_by_chunk() -> None:
    mail = a_mail(octets=LETTER + b"x" * 300_000 + EICAR)
    with pytest.raises(MustWait):
        Patterns().examine_at_once(mail)
    finding = await Patterns().examine(mail)
    assert finding is not None
    assert finding.result == "virus"
