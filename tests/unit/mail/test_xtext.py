"""xtext, and the addresses of type utf-8."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_shared.mail.xtext import NoXtext, from_utf8_address, from_xtext, to_utf8_address, to_xtext

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126))


@given(PRINTABLE)
def test_what_is_written_reads_as_it_was(text: str) -> None:
    written = to_xtext(text)
    assert from_xtext(written) == text
    assert " " not in written
    assert "=" not in written


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_utf8_addresses_read_as_they_were(text: str) -> None:
    written = to_utf8_address(text)
    assert written.isascii()
    assert from_utf8_address(written) == text


@pytest.mark.parametrize("text", ["a b", "a=b", "a+b", "a+2b", "a+4", "+0A", "+0D+0A", "+00", "+7F", "+E4", "ä", "a\n"])
def test_what_is_no_xtext_is_refused(text: str) -> None:
    with pytest.raises(NoXtext):
        from_xtext(text)


@pytest.mark.parametrize("text", ["", "a b", "a=b", "a+b", "\\", "\\x{}", "\\x{e4}", "\\x{FFFFFF}", "a\\x{E4"])
def test_what_is_no_utf8_address_is_refused(text: str) -> None:
    with pytest.raises(NoXtext):
        from_utf8_address(text)


def test_characters_stand_by_their_numbers() -> None:
    assert from_utf8_address("j\\x{F6}rg@dest.example") == "jörg@dest.example" == from_utf8_address("jörg@dest.example")
