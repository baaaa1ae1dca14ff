"""What is read in a header, and what is taken out of it."""

import pytest

from tripost_edge.session.header_inspection import MAX_SUBJECT_CHARACTERS, inspect_header

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
        pytest.param(b"Return-Path: <evil@b.example>\r\n", id="Return-Path"),
    ],
)
def test_fields_that_only_we_may_write_are_taken_out(forged: bytes) -> None:
    honest = (b"From: a@b.example\r\n", b"Authentication-Results: other.example; spf=pass\r\n", b"X: y\r\n z\r\n")
    inspection = inspect_header(honest[0] + forged + honest[1] + honest[2], US)
    assert inspection.header == b"".join(honest)
    assert inspection.removed == 1


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
