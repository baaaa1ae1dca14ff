"""Bodies on their way into a hash, in pieces (RFC 6376 §3.4.3, §3.4.4, §3.7)."""

import hashlib
import re
from itertools import pairwise

import pytest
from dkim.canonicalization import CanonicalizationPolicy
from hypothesis import given, settings
from hypothesis import strategies as st

from tripost_filter.dkim.body import BodyHasher, CanonicalBody
from tripost_filter.dkim.canonical import Form

# Texts in which line ends, bare ones too, and white space meet in all ways.
octets = st.text("a \t\r\n", max_size=60).map(str.encode) | st.lists(
    st.sampled_from([b"\r\n", b"\r\n\r\n", b" \r\n", b"\t\r", b"\n", b"a", b"b  c", b" "]), max_size=30
).map(b"".join)
cuts = st.lists(st.integers(0, 60), max_size=8)
form = st.sampled_from(Form)


def in_pieces(text: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(min(place, len(text)) for place in at), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def canonical(pieces: list[bytes], form: Form) -> bytes:
    body = CanonicalBody(form)
    return b"".join([piece for octets in pieces for piece in body.update(octets)] + list(body.finish()))


def by_the_rules(text: bytes, form: Form) -> bytes:
    """Give the canonical form line by line, as the RFC has it."""
    lines = text.split(b"\r\n")
    if form is Form.RELAXED:
        lines = [re.sub(rb"[ \t]+", b" ", line).removesuffix(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines and form is Form.SIMPLE:
        return b"\r\n"
    return b"".join(line + b"\r\n" for line in lines)


def by_dkimpy(text: bytes, form: Form) -> bytes:
    octets: bytes = CanonicalizationPolicy.from_c_value(f"{form}/{form}".encode()).canonicalize_body(text)
    return octets


@settings(derandomize=True, deadline=None)
@given(octets, cuts, form)
def test_the_form_is_what_the_rules_say_wherever_the_pieces_end(text: bytes, at: list[int], form: Form) -> None:
    assert canonical(in_pieces(text, at), form) == by_the_rules(text, form)


@settings(derandomize=True, deadline=None)
@given(octets, cuts, form)
def test_dkimpy_agrees_on_bodies_that_a_mail_server_takes(text: bytes, at: list[int], form: Form) -> None:
    """That is: without a bare CR or LF, and with a line end at the end."""
    text = text.replace(b"\r\n", b"\0").replace(b"\r", b"x").replace(b"\n", b"y").replace(b"\0", b"\r\n") + b"\r\n"
    assert canonical(in_pieces(text, at), form) == by_dkimpy(text, form)


@settings(derandomize=True, deadline=None)
@given(octets, cuts, st.lists(st.tuples(form, st.none() | st.integers(0, 70)), min_size=1, max_size=6))
def test_all_parts_are_hashed_in_one_pass(text: bytes, at: list[int], parts: list[tuple[Form, int | None]]) -> None:
    hasher = BodyHasher(parts)
    for piece in in_pieces(text, at):
        hasher.update(piece)
    hasher.finish()
    for form, length in parts:
        whole = by_the_rules(text, form)
        assert hasher.size_octets(form) == len(whole)
        assert hasher.digest((form, length)) == hashlib.sha256(whole if length is None else whole[:length]).digest()


@pytest.mark.parametrize("form", Form)
def test_many_empty_lines_need_little_memory(form: Form) -> None:
    """They are a number until text follows, and then come in pieces."""
    body = CanonicalBody(form)
    longest = 0
    size_octets = 0
    for octets in [*([b"\r\n" * 50_000] * 10), b"end"]:
        for piece in body.update(octets):
            longest = max(longest, len(piece))
            size_octets += len(piece)
    assert (size_octets, longest <= 50_000) == (1_000_003, True)
