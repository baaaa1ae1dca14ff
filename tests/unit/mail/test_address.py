"""Addresses and paths (RFC 5321 §4.1.2, §4.1.3)."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_shared.mail.address import Address, InvalidAddress, folded, normalise_domain, parse_path, u_labels
from tripost_shared.mail.lookup import candidates


@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        pytest.param("ann@dest.example", "ann", "dest.example", id="plain"),
        pytest.param("Ann.B+c@Dest.EXAMPLE", "Ann.B+c", "dest.example", id="domain lowered, local part kept"),
        pytest.param('"ann b"@dest.example', "ann b", "dest.example", id="quoted"),
        pytest.param(r'"a\"b\\c"@dest.example', r'a"b\c', "dest.example", id="escapes undone"),
        pytest.param('"a@b"@dest.example', "a@b", "dest.example", id="an at sign inside quotes"),
        pytest.param("ann@[192.0.2.1]", "ann", "[192.0.2.1]", id="IPv4 literal"),
        pytest.param("ann@[ipv6:2001:DB8:0::1]", "ann", "[IPv6:2001:db8::1]", id="IPv6 literal made canonical"),
        pytest.param("ann@b\u00fccher.example", "ann", "xn--bcher-kva.example", id="U-labels become A-labels"),
        pytest.param("\u00e4nn@dest.example", "\u00e4nn", "dest.example", id="UTF-8 local part"),
        pytest.param("a%b!c@dest.example", "a%b!c", "dest.example", id="percent and bang mean nothing"),
    ],
)
def test_an_address_is_read(text: str, local_part: str, domain: str) -> None:
    """Both parts are given in the form in which they are compared."""
    assert Address.parse(text) == Address(local_part, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@dest.example",
        "ann@",
        "ann@@dest.example",
        "ann@dest.example@other.example",
        "ann b@dest.example",
        ".ann@dest.example",
        "ann.@dest.example",
        "an..n@dest.example",
        '"ann@dest.example',
        '"ann"b@dest.example',
        "ann@dest..example",
        "ann@dest.example.",
        "ann@-dest.example",
        "ann@dest.example>",
        "<ann@dest.example>",
        "ann@[192.0.2.300]",
        "ann@[192.0.2.1",
        "ann@[IPv6:::zz]",
        "ann\r\n@dest.example",
        "ann@dest.example\r\nDATA",
        "ann\x00@dest.example",
        "ann\x9b@dest.example",
        "ann\u202e@dest.example",
        "ann\u2028@dest.example",
        "ann\udcff@dest.example",
        "a" * 65 + "@dest.example",
        "ann@" + "a" * 64 + ".example",
        "ann@" + ".".join(["a" * 60] * 5) + ".example",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Nothing is guessed or repaired."""
    with pytest.raises(InvalidAddress):
        Address.parse(text)


def test_a_source_route_is_dropped() -> None:
    """RFC 5321 Appendix C: it may be ignored."""
    assert parse_path("@one.example,@two.example:ann@dest.example") == Address("ann", "dest.example")


def test_the_null_path_is_none() -> None:
    """`<>` has no address."""
    assert parse_path("") is None


@pytest.mark.parametrize("text", ["postmaster", "PostMaster"])
def test_postmaster_needs_no_domain(text: str) -> None:
    """RFC 5321 §4.5.1."""
    path = parse_path(text)
    assert path is not None
    assert (path.key, path.domain) == ("postmaster", "")


def test_keys_ignore_case_and_needless_quotes() -> None:
    """One mailbox has one key, however it is written."""
    assert Address.parse('"Ann"@Dest.example').key == Address.parse("ann@dest.example").key


@pytest.mark.parametrize(
    "other", ["e\u0301ve", "E\u0301ve", "\u00c9VE"], ids=["after it", "after a capital", "with a capital"]
)
def test_an_accent_is_the_same_with_its_letter_and_after_it(other: str) -> None:
    """RFC 6532 §3.1: NFC. What is relayed stays as the client wrote it."""
    one, two = Address.parse("\u00e9ve@dest.example"), Address.parse(f"{other}@dest.example")
    assert (one.key, candidates(one.local_part)) == (two.key, candidates(two.local_part))
    assert candidates(f"{other}+x") == ("\u00e9ve+x", "\u00e9ve")
    assert str(two) == f"{other}@dest.example"


@pytest.mark.parametrize("plane", range(3))
def test_every_character_has_one_folded_form(plane: int) -> None:
    """As it is, composed, taken apart, and folded already."""
    for number in range(plane * 0x10000, (plane + 1) * 0x10000):
        text = f"a{chr(number)}b"
        forms = {folded(text), *(folded(unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))}
        assert forms == {folded(folded(text))}, hex(number)


@given(st.text(max_size=40), st.sampled_from(["dest.example", "[192.0.2.1]"]))
def test_any_text_is_refused_or_survives_a_round_trip(local_part: str, domain: str) -> None:
    """What was read once reads the same again from its own spelling."""
    try:
        address = Address.parse(f"{local_part}@{domain}")
    except InvalidAddress:
        return
    assert Address.parse(str(address)) == address
    assert not set(str(address)) & set("\r\n\0")


def test_a_final_dot_is_dropped_where_an_administrator_types_a_domain() -> None:
    """In DNS notation the dot is usual; on the wire of SMTP it is an error."""
    assert normalise_domain("Dest.Example.") == "dest.example"


@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        pytest.param("xn--mnchen-3ya.Example", "m\u00fcnchen.Example", id="an A-label"),
        pytest.param("a_b.XN--mnchen-3ya.example", "a_b.m\u00fcnchen.example", id="beside one that is no host's"),
        pytest.param("xn--0.example", "xn--0.example", id="what is no A-label"),
        pytest.param("[192.0.2.7]", "[192.0.2.7]", id="a literal"),
    ],
)
def test_a_domain_is_shown_in_u_labels(domain: str, shown: str) -> None:
    assert u_labels(domain) == shown
