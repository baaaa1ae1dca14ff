"""Who has written a message, by its From field: one answer for all readers, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_edge.session.author_field import MAX_AUTHORS, MAX_OCTETS, NoAuthors, authors_of
from tripost_edge.session.header_inspection import inspect_header

USER = "user@dest.example"
BOSS = "boss@big.example"


def authors(value: str) -> tuple[str, ...]:
    return authors_of((value.encode("utf-8", "surrogateescape"),))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f" {USER}\r\n", id="an address"),
        pytest.param(f" <{USER}>", id="in brackets"),
        pytest.param(f" A User <{USER}>", id="a name"),
        pytest.param(f' "User, A" <{USER}>', id="a quoted name with a comma"),
        pytest.param(f' "A \\"great\\" user" < {USER} >', id="escapes, and space in the brackets"),
        pytest.param(f" =?utf-8?q?J=C3=B6rg_M=2E?= <{USER}>", id="an encoded name"),
        pytest.param(f" Jörg <{USER}>", id="a name in UTF-8"),
        pytest.param(f" J\udcf6rg <{USER}>", id="a name in no encoding"),
        pytest.param(f" {USER} (A User)", id="a comment"),
        pytest.param(f" (A (great) \\) user) <{USER}>", id="a comment with others in it"),
        pytest.param(f"\r\n A\r\n\tUser\r\n <{USER}>\r\n", id="folded"),
        pytest.param(f' "jane@partner.example via Helpdesk" <{USER}>', id="another address as a quoted name"),
        pytest.param(f" {USER} <{USER}>", id="the address as its own name"),
        pytest.param(f' "<{USER}>" <{USER}>', id="the same, quoted in brackets"),
        pytest.param(" <user@DEST.example>", id="a domain in capitals"),
    ],
)
def test_one_author_is_found(value: str) -> None:
    assert authors(value) == (USER,)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f" {USER}, {BOSS}", id="two authors"),
        pytest.param(f" {BOSS} <{USER}>", id="an address as a name"),
        pytest.param(f' "Boss <{BOSS}>" <{USER}>', id="brackets in a quoted name"),
        pytest.param(f" =?utf-8?q?=3Cboss=40big=2Eexample=3E=2C?= <{USER}>", id="brackets in an encoded name"),
        pytest.param(f" =?utf-8?q?boss=40big=2Eexample=2C?= <{USER}>", id="a comma in an encoded name"),
        pytest.param(f" =?utf-8?b?Ym9zc0BiaWcuZXhhbXBsZSw=?= <{USER}>", id="the same in base64"),
        pytest.param(f" =?utf-8?q?boss=40?= =?utf-8?q?big=2Eexample=2C?= <{USER}>", id="in two encoded words"),
        pytest.param(f" {USER} (<{BOSS}>)", id="brackets in a comment"),
        pytest.param(f" <{USER}> (, {BOSS})", id="a comma in a comment"),
        pytest.param(f" <(<{BOSS}>) {USER}>", id="a comment within brackets"),
    ],
)
def test_whom_a_careless_reader_would_see_is_an_author_too(value: str) -> None:
    assert set(authors(value)) == {USER, BOSS}


def test_an_apostrophe_is_part_of_a_name_unless_there_is_one_at_both_ends() -> None:
    assert set(authors(" o'boss@big.example <user@dest.example>")) == {USER, "o'boss@big.example"}
    assert set(authors(" 'boss@big.example <user@dest.example>")) == {USER, "'boss@big.example"}
    assert set(authors(" 'boss@big.example' <user@dest.example>")) == {USER, BOSS}


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        " A User",
        " <>",
        f" undisclosed:{USER};",
        " undisclosed:;",
        f" {USER},",
        f" ,{USER}",
        f" {USER};{BOSS}",
        f" <{USER}> {BOSS}",
        f" <{USER}><{BOSS}>",
        f" <<{USER}>>",
        f" <@big.example:{USER}>",
        f" <{USER}",
        f" {USER}>",
        f' "A <{USER}>',
        f" (A <{USER}>",
        f" A) <{USER}>",
        f" A\\ <{USER}>",
        " user @dest.example",
        " user(c)@dest.example",
        " user@dest.example.",
        " user",
        " =?utf-8?q?user=40dest=2Eexample?=",
        " =?utf-8?q?boss=40big=2Eexample?=@dest.example",
        f" {USER} {BOSS}",
        f" @@ <{USER}>, x",
        f" @big <{USER}>",
        f' "boss"@big <{USER}>',
        f' [192.0.2.1]"boss"@big(c) <{USER}>',
        f" a@b@c <{USER}>",
        f" {USER}\0",
        " us\udcf6r@dest.example",
        f" Boss <{USER}>" + " " * MAX_OCTETS,
        " " + ", ".join(f"u{n}@dest.example" for n in range(MAX_AUTHORS + 1)),
    ],
)
def test_what_is_not_plain_names_nobody(value: str) -> None:
    with pytest.raises(NoAuthors):
        authors(value)


def test_it_takes_exactly_one_field() -> None:
    for fields in ((), (USER.encode(), USER.encode())):
        with pytest.raises(NoAuthors):
            authors_of(fields)


@pytest.mark.parametrize(
    ("header", "count"),
    [
        pytest.param(b"Subject: x\r\n", 0, id="none"),
        pytest.param(b"FROM : a@b.example\r\n", 1, id="capitals and a space"),
        pytest.param(b"X: y\r\nfrom\r\n : a@b.example\r\n", 1, id="a folded name"),
        pytest.param(b"\xef\xbb\xbfFrom: a@b.example\r\nFrom: c@d.example\r\n", 2, id="one behind a byte order mark"),
        pytest.param(b"X: y\r\n From: a@b.example\r\n", 0, id="a folded line of another field"),
        pytest.param(b"From: 1\r\nFrom: 2\r\nFrom: 3\r\n", 2, id="no more than two"),
        pytest.param(b"Resent-From: a@b.example\r\nX-From: b\r\nFrom x\r\n>From: y\r\n", 0, id="other names"),
    ],
)
def test_from_fields_are_found(header: bytes, count: int) -> None:
    assert len(inspect_header(header, "mx.tripost.example").from_fields) == count


def test_the_value_is_whole() -> None:
    (value,) = inspect_header(b"From: a\r\n <b@c.example>\r\nTo: d\r\n", "mx.tripost.example").from_fields
    assert authors_of((value,)) == ("b@c.example",)


@given(st.lists(st.sampled_from([*'()<>[]",;:@\\. a=?', "a@b.example", "=?utf-8?q?=3C?=", "\r\n "]), max_size=20))
def test_nothing_breaks_it(pieces: list[str]) -> None:
    try:
        found = authors("".join(pieces))
    except NoAuthors:
        return
    assert all("@" in author for author in found)
