"""The decoded text of base64 parts, wherever the message's pieces end."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripost_filter.base64_parts import Base64Parts

FIELD = b"Content-Transfer-Encoding: base64\r\n"


def parts_of(*pieces: bytes) -> list[bytes]:
    """Give each part's text."""
    texts: list[list[bytes]] = []

    def take(octets: bytes) -> None:
        texts[-1].append(octets)

    parts = Base64Parts(lambda: texts.append([]), take)
    for piece in pieces:
        parts.update(piece)
    parts.finish()
    return [b"".join(text) for text in texts]


@pytest.mark.parametrize(
    ("message", "texts"),
    [
        pytest.param(FIELD + b"\r\naGVsbG8=\r\n", [b"hello"], id="the message itself"),
        pytest.param(b"--b\r\n" + FIELD.upper().replace(b"BASE64", b"BaSe64") + b"\r\naGk", [b"hi"], id="any case"),
        pytest.param(FIELD + b"\r\naGk=\r\n--b\r\n" + FIELD + b"X: y\r\n\r\naG8=\r\n--b--", [b"hi", b"ho"], id="two"),
        pytest.param(FIELD + b"\r\n a\tG!\r\nk=", [b"hi"], id="other octets are passed over"),
        pytest.param(FIELD + b"\r\naGkA", [b"hi\0"], id="cut short, whole"),
        pytest.param(FIELD + b"\r\naGkAa", [b"hi\0"], id="cut short, one character more"),
        pytest.param(FIELD + b"\r\n--b", [b""], id="empty"),
        pytest.param(FIELD, [], id="without an empty line"),
        pytest.param(b"X-" + FIELD + b"\r\naGk=", [], id="another field"),
        pytest.param(b"X: " + b"x" * 80 + b"base64\r\n\r\naGk=", [], id="a long line"),
        pytest.param(b"We like base64 here\r\n" + FIELD + b"\r\naGk=", [b"hi"], id="talk of base64"),
    ],
)
def test_parts_are_decoded_wherever_a_piece_ends(message: bytes, texts: list[bytes]) -> None:
    assert parts_of(message) == texts
    assert parts_of(*(bytes([octet]) for octet in message)) == texts
    for place in range(len(message)):
        assert parts_of(message[:place], message[place:]) == texts


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=200), st.sampled_from([b"\r\n", b" ", b""])), min_size=1, max_size=4),
    st.lists(st.integers(1, 120), min_size=1, max_size=8),
)
def test_random_parts_come_out_as_they_went_in(parts: list[tuple[bytes, bytes]], sizes: list[int]) -> None:
    message = b""
    for octets, between in parts:
        text = base64.b64encode(octets)
        lines = between.join(text[start : start + 60] for start in range(0, len(text), 60))
        message += b"\r\n--b\r\n" + FIELD + b"\r\n" + lines
    pieces: list[bytes] = []
    while message:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(message[:size])
        message = message[size:]
    assert parts_of(*pieces) == [octets for octets, _ in parts]
