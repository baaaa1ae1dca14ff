"""Header fields as octets (RFC 5322 §2.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_shared.mail import header


def test_header_and_body_are_split_at_the_first_empty_line() -> None:
    """The header keeps the CRLF of its last field."""
    assert header.split_message(b"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\n") == (b"A: 1\r\nB: 2\r\n", b"body\r\n\r\n")


def test_a_message_without_a_header_is_all_body() -> None:
    """An empty line first means an empty header."""
    assert header.split_message(b"\r\nbody") == (b"", b"body")


def test_folded_lines_belong_to_their_field() -> None:
    """RFC 5322 §2.2.3."""
    found = list(header.fields(b"A: 1\r\n\t2\r\nB : 3\r\nno field\r\n"))
    assert found == [(b"A", b" 1\r\n\t2\r\n"), (b"B", b" 3\r\n"), (b"", b"no field\r\n")]
    assert header.unfold(found[0][1]) == b"1\t2"


def test_values_are_found_by_name_in_any_case() -> None:
    """Field names are case-insensitive."""
    assert header.values(b"X-a: 1\r\nx-A: 2\r\nX-ab: 3\r\n", "X-A") == [b" 1\r\n", b" 2\r\n"]


@given(st.binary(max_size=200))
def test_raw_fields_lose_no_octet(octets: bytes) -> None:
    """The fields joined are the header, whatever it holds."""
    assert b"".join(header.raw_fields(octets)) == octets


@given(st.lists(st.text(max_size=120), max_size=12))
def test_folding_makes_one_field_of_any_words(words: list[str]) -> None:
    """Nothing that a client said can begin another field."""
    folded = header.fold("X-Test", words)
    assert folded.endswith(b"\r\n")
    assert len(list(header.raw_fields(folded))) == 1
    assert b"\n" not in folded.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\x1b", id="escape"),
        pytest.param("\n", id="line feed"),
        pytest.param("\x7f", id="delete"),
        pytest.param("\x85", id="C1: next line"),
        pytest.param("\x9b", id="C1: control sequence introducer"),
        pytest.param("\u061c", id="Arabic letter mark"),
        pytest.param("\u200e", id="left-to-right mark"),
        pytest.param("\u200f", id="right-to-left mark"),
        pytest.param("\u2028", id="line separator"),
        pytest.param("\u2029", id="paragraph separator"),
        pytest.param("\u202e", id="right-to-left override"),
        pytest.param("\u2066", id="left-to-right isolate"),
        pytest.param("\u2069", id="pop directional isolate"),
        pytest.param("\udcff", id="surrogate"),
    ],
)
def test_what_a_terminal_would_obey_is_not_printed(character: str) -> None:
    """It would move the cursor, end the line, or show a text as another one."""
    assert header.printable(f"a{character}b") == "a?b"
    assert not header.is_printable(f"a{character}b")
    assert header.fold("X", [f"a{character}b"]) == b"X: a?b\r\n"


@pytest.mark.parametrize("text", ["plain", "Gr\u00fc\u00dfe", "\u4f60\u597d", "\u05e9\u05dc\u05d5\u05dd", "\U0001f4ee"])
def test_writing_of_all_languages_is_printable(text: str) -> None:
    """Only what is no writing is replaced."""
    assert header.printable(text) == text
    assert header.is_printable(text)
