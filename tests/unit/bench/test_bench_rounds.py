"""A round notices every message that is lost, doubled or changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from bench.message import SIZE_OCTETS, SignedMessage, sign_a_message
from bench.rounds import inspect

MESSAGE = SignedMessage(b"Subject: x\r\n\r\nOne\r\n.Two\r\n", ())
STORED = b"Return-Path: <a@sender.example>\n" + MESSAGE.content.replace(b"\r\n", b"\n")


class Judge:
    """A system that finds fault with what lacks a Return-Path."""

    name = "judge"
    port = 0
    new_mail = Path()

    def processes(self) -> Mapping[str, Sequence[int]]:
        return {}

    def check_arrived(self, stored: bytes) -> str:
        return "" if stored.startswith(b"Return-Path") else "no return path"

    def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("arrived", "faults"),
    [
        pytest.param([STORED, STORED], (), id="all, once"),
        pytest.param([STORED, STORED.replace(b"\n", b"\r\n")], (), id="line ends may differ"),
        pytest.param([STORED], ("1 arrived instead of 2",), id="one lost"),
        pytest.param([STORED] * 3, ("3 arrived instead of 2",), id="one doubled"),
        pytest.param(
            [STORED, STORED.replace(b"One", b"0ne")], ("a message did not arrive as it was sent",), id="one changed"
        ),
        pytest.param([STORED, MESSAGE.content], ("no return path",), id="one that the system should have marked"),
    ],
)
def test_faults(tmp_path: Path, arrived: list[bytes], faults: tuple[str, ...]) -> None:
    for number, stored in enumerate(arrived):
        (tmp_path / str(number)).write_bytes(stored)
    assert inspect(Judge(), tmp_path, MESSAGE, expected=2) == faults
    assert not list(tmp_path.iterdir())


def test_the_message_has_its_size_and_a_valid_signature() -> None:
    import dkim  # type: ignore[import-untyped]  # noqa: PLC0415 (the library has no types, and is slow to load)

    message = sign_a_message()
    records = {name: text.replace('" "', "").strip('"') for name, _, text in message.records}
    assert len(message.content) == SIZE_OCTETS
    assert dkim.verify(message.content, dnsfunc=lambda name, **_: records[name.decode().rstrip(".")].encode())
