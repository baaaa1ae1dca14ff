"""What is read in a header, and what is taken out of it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_edge.session import header_inspection
from tripost_edge.session.header_inspection import (
    MAX_RESULTS,
    MAX_RESULTS_OCTETS,
    MAX_SUBJECT_CHARACTERS,
    count_fields,
    inspect_header,
)

US = "mx.tripost.example"


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(b"Authentication-Results: mx.tripost.example; spf=pass\r\n", id="plain"),
        pytest.param(b"AUTHENTICATION-results: MX.Tripost.Example 1; spf=pass\r\n", id="case and version"),
        pytest.param(b"Authentication-Results :\r\n mx.tripost.example;\r\n\tspf=pass\r\n", id="folded"),
        pytest.param(b"Authentication-Results: (a (nested) c) mx.tripost.example; x=y\r\n", id="comments"),
        pytest.param(b"Authentication-Results: (;\\)) mx.tripost.example; x=y\r\n", id="comment with escapes"),
        pytest.param(b'Authentication-Results: "mx.tripost.example"; x=y\r\n', id="quoted"),
        pytest.param(b'Authentication-Results: "mx\\.tripost.example"; x=y\r\n', id="quoted with escapes"),
        pytest.param(b"Authentication-Results: MX.Tripost.example 1; x=y\r\n", id="other case, with a version"),
        pytest.param(b"Authentication-Results: mx.tripost.example(c)1; x=y\r\n", id="a comment that separates"),
        pytest.param(b"Authentication-Results: mx.tripost(c(d)).example; x=y\r\n", id="a comment that does not"),
        pytest.param(b"Authentication-Results: mx.tripost.example.; x=y\r\n", id="final dot"),
        pytest.param(b"Authentication-Results: mx.tripost.example\r\n", id="no result"),
        pytest.param(b"Authentication-Results\r\n :mx.tripost.example; x=y\r\n", id="folded before the colon"),
        pytest.param(b"Authentication-Results:\r\n \r\n\tmx.tripost.example; x=y\r\n", id="a line of white space"),
        pytest.param(b"Authentication-Results: mx.tripost\r\n\t.example; x=y\r\n", id="folded within the name"),
        pytest.param(b"Authentication-Results: mx.tripost .example 1; x=y\r\n", id="a space in it, with a version"),
        pytest.param(b"Authentication-Results: mx.tripost.example/1; x=y\r\n", id="version after a slash"),
        pytest.param(b"Authentication-Results: ; mx.tripost.example; x=y\r\n", id="a semicolon first"),
        pytest.param(b"Authentication-Results: <mx.tripost.example>; x=y\r\n", id="in angle brackets"),
        pytest.param(b"Authentication-Results: (mx.tripost.example; x=y\r\n", id="a comment that never ends"),
        pytest.param(b'Authentication-Results: "mx.tripost.example;" x=y\r\n', id="semicolon within quotes"),
        pytest.param(b"Authentication-Results: =?us-ascii?Q?mx=2Etripost.example?=; x=y\r\n", id="encoded word, Q"),
        pytest.param(b"Authentication-Results: =?utf-8?b?bXgudHJpcG9zdC5leGFtcGxlOyB4PXk=?=\r\n", id="encoded word, B"),
        pytest.param(b"Authentication-Results: =?utf-8?q?mx.tri?=\r\n =?x?q?post.example?=; x=y\r\n", id="two of them"),
        pytest.param("Authentication-Results: \uff4d\uff58.tripost.example; x=y\r\n".encode(), id="wide letters"),
        pytest.param("Authentication-Results: mx.tripo\u017ft.example; x=y\r\n".encode(), id="long s"),
        pytest.param("Authentication-Results: mx\u3002tripost.example; x=y\r\n".encode(), id="ideographic full stop"),
        pytest.param("Authentication-Results: mx\uff61tripost.example; x=y\r\n".encode(), id="its half-width form"),
        pytest.param("Authentication-Results: mx.\u200btripost.example; x=y\r\n".encode(), id="invisible character"),
        pytest.param(b"Authentication-Results: " + b"(c)" * 2000 + b"mx.tripost.example; x=y\r\n", id="long prelude"),
        *(
            pytest.param(
                b"Authentication-Results: " + start + between * 1100 + b"mx.tripost.example; x=y\r\n",
                id=f"{name}, and a long prelude",
            )
            for name, start, between in (
                ("semicolon", b";", b" "),
                ("semicolon, folded", b";", b"\r\n "),
                ("semicolon and comments", b" ;", b"(c)"),
                ("comment and semicolon", b"(c);", b" "),
                ("empty quotes and semicolon", b'"";', b" "),
                ("semicolons", b"", b" ;"),
                ("semicolon in an encoded word", b"=?us-ascii?q?;?=", b" "),
            )
        ),
        pytest.param(
            b"Authentication-Results: ;(" + b"c" * 1100 + b") mx.tripost.example; x=y\r\n", id="semicolon, long comment"
        ),
        pytest.param(b"ARC-Authentication-Results: i=1; mx.tripost.example; spf=pass\r\n", id="of ARC"),
        pytest.param(
            b"arc-authentication-results:\r\n i = 2 (a;b) ;\r\n mx.tripost.example 1; x=y\r\n", id="ARC, folded"
        ),
        pytest.param(b"ARC-Authentication-Results: mx.tripost.example; i=1; x=y\r\n", id="of ARC, its number late"),
        pytest.param(
            b"ARC-Authentication-Results: i=1;" + b" " * 1100 + b"mx.tripost.example; x=y\r\n", id="ARC, long"
        ),
        pytest.param(b"\xef\xbb\xbfAuthentication-Results: mx.tripost.example; x=y\r\n", id="byte order mark"),
        pytest.param(b"\xef\xbb\xbf" * 2 + b"X-Tripost-Any: y\r\n", id="two byte order marks"),
        pytest.param(b"Return-Path: <evil@b.example>\r\n", id="Return-Path"),
    ],
)
def test_fields_that_only_we_may_write_are_taken_out(forged: bytes) -> None:
    honest = (b"From: a@b.example\r\n", b"Authentication-Results: other.example; spf=pass\r\n", b"X: y\r\n z\r\n")
    inspection = inspect_header(honest[0] + forged + honest[1] + honest[2], US)
    assert inspection.header == b"".join(honest)
    assert inspection.removed == 1


@pytest.mark.parametrize(
    "honest",
    [
        b"Authentication-Results: other.example; spf=pass smtp.helo=mx.tripost.example\r\n",
        b"Authentication-Results: other.example (for mx.tripost.example); none\r\n",
        b"Authentication-Results: mx.tripost.example.org; none\r\n",
        b"Authentication-Results: not-mx.tripost.example 1; none\r\n",
        b"Authentication-Results: =?x?q?other.example?=; none\r\n",
        "Authentication-Results: b\u00fccher.example; none\r\n".encode(),
        b"Authentication-Results: \xff\xfe; none\r\n",
        b"Authentication-Results: ;other.example; none" + b" " * 1100 + b"mx.tripost.example\r\n",
        b"Authentication-Results: other.example; none (" + b"mx.tripost.example; " * 60 + b")\r\n",
        b"ARC-Authentication-Results: i=1; other.example; spf=pass smtp.helo=mx.tripost.example\r\n",
        b"ARC-Authentication-Results: i=1; other.example; none (; mx.tripost.example; )\r\n",
        b"ARC-Seal: i=1; d=mx.tripost.example\r\n",
        b"X-Return-Path: <a@b.example>\r\n",
    ],
)
def test_fields_of_others_stay(honest: bytes) -> None:
    inspection = inspect_header(honest, US)
    assert (inspection.header, inspection.removed) == (honest, 0)


def test_a_name_in_a_labels_is_ours_in_u_labels_too() -> None:
    forged = "Authentication-Results: mx.B\u00fccher.example; spf=pass\r\n".encode()
    assert inspect_header(forged, "mx.xn--bcher-kva.example").header == b""


@pytest.mark.parametrize("start", [b" ", b"\t"])
def test_a_folded_first_line_continues_none_of_our_fields(start: bytes) -> None:
    """Behind our Authentication-Results it would be read as a part of it."""
    inspection = inspect_header(start + b"; dkim=pass header.d=bank.example\r\n more\r\nFrom: a@b.example\r\n", US)
    assert (inspection.header, inspection.removed) == (b"From: a@b.example\r\n", 1)


def test_received_fields_are_counted_and_others_are_not() -> None:
    header = b"Received: a\r\n\tb\r\nreceived : c\r\nReceived-SPF: pass\r\nX-Received: d\r\nRECEIVED:e\r\n"
    assert inspect_header(header, US).received_fields == 3


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        pytest.param(b"Subject: Hello\r\n", "Hello", id="plain"),
        pytest.param(
            b"From: a\r\nsubject:\r\n folded\r\n\tonce\r\nTo: b\r\n", "folded\tonce".replace("\t", "?"), id="folded"
        ),
        pytest.param("Subject: Grüße\r\n".encode(), "Grüße", id="UTF-8"),
        pytest.param(b"Subject: \xff\r\n", "\ufffd", id="not UTF-8"),
        pytest.param(b"Subject: a\x1bb\r\n", "a?b", id="control character"),
        pytest.param(b"Subject: " + b"x" * 900 + b"\r\n", "x" * MAX_SUBJECT_CHARACTERS, id="long"),
        pytest.param(b"From: a\r\n", "", id="none"),
        pytest.param(b"", "", id="no header"),
    ],
)
def test_the_subject_is_read_for_the_trace(header: bytes, subject: str) -> None:
    assert inspect_header(header, US).subject == subject


def test_fields_are_counted_with_their_folded_lines() -> None:
    assert count_fields(b"") == 0
    assert count_fields(b"a: b\r\n c\r\n\td\r\nno field\r\ne:\r\n") == 3


def test_results_beyond_so_many_are_dropped_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read one takes time; what a hostile header has of them would hold up all sessions of a worker."""
    read: list[bytes] = []
    monkeypatch.setattr(header_inspection, "claims_to_be", lambda _ours, value: bool(read.append(value)))
    fields = [b"Authentication-Results: other%d.example; none\r\n" % number for number in range(MAX_RESULTS + 2)]
    inspection = inspect_header(b"From: a@b.example\r\n" + b"".join(fields) + b"To: c@d.example\r\n", US)
    assert inspection.header == b"From: a@b.example\r\n" + b"".join(fields[:MAX_RESULTS]) + b"To: c@d.example\r\n"
    assert (inspection.removed, len(read)) == (2, MAX_RESULTS)


def test_results_beyond_so_many_octets_are_dropped_unread() -> None:
    """A field counts for no more of them than are read."""
    long = b"Authentication-Results: other.example; " + b"x" * 5000 + b"\r\n"
    inspection = inspect_header(long * 10 + b"To: c@d.example\r\n", US)
    assert inspection.header == long * (MAX_RESULTS_OCTETS // 1024) + b"To: c@d.example\r\n"


MARKS = b"X-Spam-Flag: NO\r\nx-spam-STATUS :\r\n No, score=-100\r\n"
BLIND = b"Bcc: hidden@b.example,\r\n other@b.example\r\nresent-bcc: third@b.example\r\n"
VISIBLE = b"From: a@b.example\r\nX-Spam-Level: *\r\nSubject: bcc: x\r\n"


@pytest.mark.parametrize("is_submitted", [False, True])
@pytest.mark.parametrize("may_mark", [False, True])
def test_forged_marks_and_blind_copies_go_where_they_are_not_to_be(is_submitted: bool, may_mark: bool) -> None:
    inspection = inspect_header(VISIBLE + MARKS + BLIND, US, is_submitted=is_submitted, may_mark=may_mark)
    assert inspection.header == VISIBLE + MARKS * may_mark + BLIND * (not is_submitted)
    assert inspection.removed == 2 * (not may_mark) + 2 * is_submitted


@pytest.mark.parametrize(
    "forged",
    [b"X-Tripost-Id: 1k3v9q2m8f0abcde.1\r\n", b"x-TRIPOST-anything : y\r\n z\r\n", b"X-Tripost-Verdict\r\n : ham\r\n"],
)
def test_names_of_ours_are_taken_out(forged: bytes) -> None:
    others = b"X-Tripostal: stays\r\nSubject: x\r\n X-Tripost-Id: folded\r\n"
    inspection = inspect_header(forged + others, US, may_mark=True)
    assert (inspection.header, inspection.removed) == (others, 1)


_LINES = st.sampled_from(
    [
        b"Received: from a.example",
        b"RECEIVED \t: by b.example",
        b"Received-SPF: pass",
        b"Subject: one",
        b"subject\t: two",
        b"Subjects: none",
        b" folded Subject: no field",
        b"From: ann@a.example",
        b"from : bob@b.example",
        b"\xef\xbb\xbfFrom: hidden@c.example",
        b"Fromage: blue",
        b"From",
        b" :From: x",
        b"X-Received: no",
    ]
)


@given(st.lists(_LINES, max_size=8))
def test_fields_are_found_as_by_an_expression_that_tries_every_octet(lines: list[bytes]) -> None:
    """The search for how their lines begin is a short cut and nothing more."""
    header = b"".join(line + b"\r\n" for line in lines)
    received = re.findall(rb"^received[ \t]*:", header, re.IGNORECASE | re.MULTILINE)
    unfolded = re.sub(rb"\r\n[ \t]", b" ", header)
    subject = re.search(rb"^subject[ \t]*:(.*)\r$", unfolded, re.IGNORECASE | re.MULTILINE)
    authors = re.findall(rb"^(?:\xef\xbb\xbf)?from[ \t]*:", unfolded, re.IGNORECASE | re.MULTILINE)
    found = inspect_header(header, "mx.tripost.example")
    assert found.received_fields == len(received)
    assert found.subject.split() == (subject[1].decode().split() if subject else [])
    assert len(found.from_fields) == min(2, len(authors))
