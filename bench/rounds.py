"""One round: send, wait until all has arrived, look at each message, clear the folder for the next round."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from bench import examinations
from bench.content import MAILBOX, RELAYED
from bench.load import Sink, Source, check_sent
from bench.message import SignedMessage
from bench.system import BenchError, System, wait_until
from bench.usage import Meter, Usage

SEND_WITHIN_SECONDS: Final = 900
ARRIVE_WITHIN_SECONDS: Final = 120  # from the last message that was accepted
LOOK_EVERY_SECONDS: Final = 0.02
WRITTEN_WITHIN_SECONDS: Final = 1
SETTLE_WITHIN_SECONDS: Final = 10  # in which what was put off is done, and a copy too many would come


class Scenario(StrEnum):
    """Where the messages go."""

    MAILDIR = "maildir"
    RELAY = "relay"


@dataclass(frozen=True)
class Round:
    """What one system did in one round.

    `seconds`: from the first connection until the last message had arrived. `usage` goes on until the system is at
    rest. `examinations`: how often each check examined in this round.
    """

    system: str
    messages: int
    seconds: float
    usage: Usage
    examinations: Mapping[str, int]
    faults: tuple[str, ...]

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


class Course:
    """The rounds of one scenario, all of the same message."""

    def __init__(self, scenario: Scenario, message: SignedMessage, source: Source, sink: Sink) -> None:
        self._recipient = MAILBOX if scenario is Scenario.MAILDIR else RELAYED
        self._scenario = scenario
        self._message = message
        self._source = source
        self._sink = sink

    def run(self, system: System, messages: int) -> Round:
        """Send so many messages to a system. Raises BenchError when they cannot be sent at all."""
        folder = system.new_mail if self._scenario is Scenario.MAILDIR else self._sink.folder
        examined = system.examinations()
        meter = Meter(system.processes)
        meter.start()
        began = time.monotonic()
        sending = self._source.send(system.port, self._recipient, messages)
        try:
            arrived, ended = self._watch(folder, messages, sending)
        finally:
            sending.kill()  # it has ended, unless we are interrupted
            sending.wait()
        meter.wait_until_quiet(SETTLE_WITHIN_SECONDS)  # tracking and trimming come after the last arrival
        usage = meter.stop()
        examined = examinations.since(examined, system.examinations())
        faults = inspect(system, folder, self._message, messages)
        if arrived < messages and not faults:
            faults = (f"only {arrived} of {messages} had arrived in time",)
        faults += examinations.faults(examined, messages)
        return Round(system.name, messages, ended - began, usage, examined, faults)

    def _watch(self, folder: Path, messages: int, sending: "subprocess.Popen[str]") -> tuple[int, float]:
        give_up_at, send_until = float("inf"), time.monotonic() + SEND_WITHIN_SECONDS
        while True:
            arrived, now = len(names(folder)), time.monotonic()
            if give_up_at == float("inf") and (sending.poll() is not None or now > send_until):
                check_sent(sending)
                give_up_at = now + ARRIVE_WITHIN_SECONDS
            if (arrived >= messages and sending.poll() is not None) or now > give_up_at:
                return arrived, now
            time.sleep(LOOK_EVERY_SECONDS)


def inspect(system: System, folder: Path, message: SignedMessage, expected: int) -> tuple[str, ...]:
    """Say what is wrong with what arrived, and remove it."""
    lines = message.content.splitlines()
    stored = [folder / name for name in names(folder)]
    faults = [] if len(stored) == expected else [f"{len(stored)} arrived instead of {expected}"]
    for path in stored:
        fault = _fault(system, path, lines)
        if fault and fault not in faults:
            faults.append(fault)
        path.unlink()
    return tuple(faults)


def _fault(system: System, path: Path, lines: Sequence[bytes]) -> str:
    with suppress(BenchError):
        wait_until(lambda: _is_whole(path, lines), "the next hop writes the message to its end", WRITTEN_WITHIN_SECONDS)
        return system.check_arrived(path.read_bytes())
    return "a message did not arrive as it was sent"


def _is_whole(path: Path, lines: Sequence[bytes]) -> bool:
    """Whether the content as sent is the end of the file; line ends may differ, smtp-sink adds empty lines."""
    return path.read_bytes().rstrip().splitlines()[-len(lines) :] == lines


def names(folder: Path) -> Sequence[str]:
    """List a folder that may not exist yet."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return ()
