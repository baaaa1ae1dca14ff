"""The first process: whatever becomes of its workers, it goes on, and others can tell which are away."""

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence

import pytest

from tripost_edge.prefork import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Workers
from tripost_edge.worker_beats import WorkerBeats
from tripost_edge.worker_deaths import MOST, WorkerDeaths


class NoSockets:
    """A worker's."""

    def close(self) -> None:
        """There are none."""


class System:
    """What the first process asks of its system: a script of forks, the ends of children, a clock.

    Once the script is over, the process is asked to end.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, forks: list[int | OSError]) -> None:
        self.now = 1000.0
        self.forks = forks
        self.forked_at: list[float] = []
        self.ends: list[tuple[int, int]] = []
        self.gone: set[int] = set()  # reaped already
        self.handlers: dict[int, Callable[[int, None], None]] = {}
        monkeypatch.setattr(os, "fork", self._fork)
        monkeypatch.setattr(os, "wait", self._wait)
        monkeypatch.setattr(os, "waitpid", lambda *_: self.ends.pop(0) if self.ends else (0, 0))
        monkeypatch.setattr(os, "kill", self._kill)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)
        monkeypatch.setattr(signal, "signal", self.handlers.__setitem__)
        monkeypatch.setattr(signal, "setitimer", lambda *_: None)

    def _fork(self) -> int:
        self.forked_at.append(self.now)
        answer = self.forks.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _wait(self) -> tuple[int, int]:
        if not self.ends:
            self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        return self.ends.pop(0)

    def _kill(self, process: int, _number: int) -> None:
        self.ends.append((process, 0))
        if process in self.gone:
            raise ProcessLookupError

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


NO_MEMORY = OSError(errno.ENOMEM, "Cannot allocate memory")


def end_code(workers: Workers) -> object:
    with pytest.raises(SystemExit) as ended:
        workers.fork_all()
    return ended.value.code


def test_a_worker_that_cannot_be_started_is_tried_again_with_a_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, [101, *[NO_MEMORY] * 12, 102])
    assert end_code(Workers([NoSockets(), NoSockets()], WorkerDeaths(2), WorkerBeats(2))) == 0
    first_pause, *_, last_pause = [b - a for a, b in zip(system.forked_at[1:], system.forked_at[2:], strict=False)]
    assert FIRST_PAUSE_SECONDS <= first_pause < 2 * FIRST_PAUSE_SECONDS
    assert last_pause == pytest.approx(LONGEST_PAUSE_SECONDS, abs=0.2)


def test_no_worker_waits_for_the_back_off_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, [101, 102, 103, 104])
    system.ends = [(101, signal.SIGKILL), (102, signal.SIGKILL)]
    assert end_code(Workers([NoSockets(), NoSockets()], WorkerDeaths(2), WorkerBeats(2))) == 0
    first, second = system.forked_at[2:]
    assert first - system.forked_at[1] >= FIRST_PAUSE_SECONDS
    assert second - first < FIRST_PAUSE_SECONDS / 2


def test_a_signal_while_a_death_is_noted_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, [101, 102])
    system.gone = {101}
    assert end_code(Workers([NoSockets(), NoSockets()], WorkerDeaths(2), WorkerBeats(2))) == 0


def test_a_signal_as_a_worker_is_due_leaves_the_first_process_hearing_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, [101, 102])
    system.ends = [(101, signal.SIGKILL)]
    set_mask = signal.pthread_sigmask

    def signalled_before(how: int, signals: Sequence[int]) -> set[int]:
        if signal.SIGTERM in system.handlers and how == signal.SIG_BLOCK:  # worker 0 is to be started again
            system.handlers[signal.SIGTERM](signal.SIGTERM, None)
        return set_mask(how, signals)

    monkeypatch.setattr(signal, "pthread_sigmask", signalled_before)
    assert end_code(Workers([NoSockets(), NoSockets()], WorkerDeaths(2), WorkerBeats(2))) == 0
    assert len(system.forked_at) == 2
    assert not set_mask(signal.SIG_BLOCK, ()) & {signal.SIGTERM, signal.SIGINT}


def test_a_worker_that_has_died_is_told_until_it_is_ready() -> None:
    deaths = WorkerDeaths(3)
    assert list(deaths.troubles()) == []
    deaths.note(1)
    assert list(deaths.troubles()) == ["worker 1 is away: it has died once since it was last ready"]
    deaths.note(1)
    assert list(deaths.troubles()) == ["worker 1 is away: it has died 2 times since it was last ready"]
    deaths.forget(1)
    assert list(deaths.troubles()) == []
    for _ in range(MOST + 1):
        deaths.note(2)
    assert len(list(deaths.troubles())) == 1
