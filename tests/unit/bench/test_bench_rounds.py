"""A round notices every message that is lost, doubled or changed."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest
from bench.load import Sink, Source
from bench.message import SIZE_OCTETS, SignedMessage, sign_a_message
from bench.rounds import Course, Round, Scenario, inspect

MESSAGE = SignedMessage(b"Subject: x\r\n\r\nOne\r\n.Two\r\n", ())
STORED = b"Return-Path: <a@sender.example>\n" + MESSAGE.content.replace(b"\r\n", b"\n")

BURN = """
import time
print("begun", flush=True)
while time.process_time() < 0.7: pass
"""


class Judge:
    """A system that finds fault with what lacks a Return-Path, and that checks one message a round."""

    name = "judge"
    port = 0

    def __init__(self, new_mail: Path = Path(), process: int | None = None) -> None:
        self.new_mail = new_mail
        self._processes = [] if process is None else [process]
        self._examined = 0

    def processes(self) -> Mapping[str, Sequence[int]]:
        return {"judge": self._processes}

    def examinations(self) -> Mapping[str, int]:
        self._examined += 1
        return {"spf": self._examined}

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


class Sender:
    """Delivers by itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, _port: int, _recipient: str, messages: int) -> "subprocess.Popen[str]":
        for number in range(messages):
            (self._folder / str(number)).write_bytes(STORED)
        return subprocess.Popen(["true"], text=True)


def run(system: Judge, messages: int) -> Round:
    course = Course(Scenario.MAILDIR, MESSAGE, cast("Source", Sender(system.new_mail)), cast("Sink", None))
    return course.run(system, messages)


def test_a_check_that_spares_itself_a_message_is_a_fault(tmp_path: Path) -> None:
    assert run(Judge(tmp_path), 1).faults == ()
    assert run(Judge(tmp_path), 2).faults == ("the check spf examined 1 times for 2 messages",)


def test_what_is_done_after_the_last_arrival_is_charged(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BURN], stdout=subprocess.PIPE, text=True) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        done = run(Judge(tmp_path, busy.pid), 1)
    assert done.usage.cpu_seconds["judge"] >= 0.4


def test_the_message_has_its_size_and_a_valid_signature() -> None:
    import dkim  # type: ignore[import-untyped]  # noqa: PLC0415 (the library has no types, and is slow to load)

    message = sign_a_message()
    records = {name: text.replace('" "', "").strip('"') for name, _, text in message.records}
    assert len(message.content) == SIZE_OCTETS
    assert dkim.verify(message.content, dnsfunc=lambda name, **_: records[name.decode().rstrip(".")].encode())
