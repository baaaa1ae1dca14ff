"""Several workers: the first process holds the sockets and forks a child per worker, before any event loop runs.

A worker that dies is started again with a back-off of its own, and clients that had connected to its socket meanwhile
are served then, since the first process keeps every socket open. The workers end when the first process does, however
it ends; a new first process need not wait for them, since sockets for the same addresses may be opened while theirs
are open.

A worker whose event loop stands still is killed, which is a death like others.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog

from tripost_edge.worker_beats import WorkerBeats
from tripost_edge.worker_deaths import WorkerDeaths
from tripost_shared.endings import WRONG_SETTING
from tripost_shared.privileges import die_with_parent
from tripost_shared.silence import seconds_since_boot

log = structlog.get_logger()

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
HEALTHY_AFTER_SECONDS: Final = 60.0  # a worker that lived so long is started again at once
LOOK_AGAIN_SECONDS: Final = 0.1


class Sockets(Protocol):
    """Those of one worker."""

    def close(self) -> None:
        """Close all, in this process."""
        ...


class Workers:
    """The children of the first process, by their process id; one for each of `sockets`."""

    def __init__(self, sockets: Sequence[Sockets], deaths: WorkerDeaths, beats: WorkerBeats) -> None:
        self._sockets = sockets
        self._deaths = deaths
        self._beats = beats
        self._hung: set[int] = set()  # workers that were killed for it
        self._running: dict[int, int] = {}  # process id to the worker's number
        self._started_at = [0.0] * len(sockets)
        self._pauses = [FIRST_PAUSE_SECONDS] * len(sockets)
        self._started_again: set[int] = set()
        self._due: dict[int, float] = {}  # workers that are to be started again: when, by the monotonic clock
        self._is_ending = False
        self._exit_code = 0

    def fork_all(self) -> int:
        """Give a worker's number, in that worker, where all sockets but its own are closed.

        The first process stays here and exits when all have ended: with code 0 when it was asked to, with 2 when a
        worker did not take its settings.
        """
        for number in range(len(self._sockets)):
            if self._start(number):
                return number
        for ending in _ENDING:
            signal.signal(ending, self._asked_to_end)
        signal.signal(signal.SIGALRM, self._look_after)
        every = self._beats.patience.every.total_seconds()
        signal.setitimer(signal.ITIMER_REAL, every, every)  # no child inherits it
        return self._supervise()

    def _start(self, number: int) -> bool:
        """Start a worker, unless all are to end; True in the worker itself."""
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # none may fall between the fork and what follows it
        try:
            if self._is_ending or not self._fork(number):
                return False
            for number_of_signal in (*_ENDING, signal.SIGALRM):
                signal.signal(number_of_signal, signal.SIG_DFL)
            die_with_parent(parent, signal.SIGTERM)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        structlog.contextvars.bind_contextvars(worker=number)
        for others in (*self._sockets[:number], *self._sockets[number + 1 :]):
            others.close()
        return True

    def _fork(self, number: int) -> bool:
        """Fork; True in the child. Where that fails now, it is tried again later."""
        self._started_at[number] = time.monotonic()
        self._beats.forget(number)
        try:
            process = os.fork()
        except OSError as error:  # no memory, or too many processes: those that run go on
            log.error("worker cannot be started", worker=number, because=str(error))  # noqa: TRY400 (the trace tells nothing more)
            self._start_later(number)
            return False
        if process:
            self._running[process] = number
        return not process

    def _supervise(self) -> int:
        while self._running or self._due:
            ended = self._next_end()
            if ended is not None:
                self._take_end(*ended)
            for number in [number for number, at in list(self._due.items()) if at <= time.monotonic()]:
                self._due.pop(number, None)  # a signal may have ended all meanwhile
                if self._start(number):
                    return number
        signal.setitimer(signal.ITIMER_REAL, 0)  # Python gives its handlers up before it ends: an alarm would kill
        sys.exit(self._exit_code)

    def _next_end(self) -> tuple[int, int] | None:
        """Wait for the end of a child; while a worker is to be started, for a moment only."""
        if not self._due:
            return os.wait()
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            process = status = 0
        if process:
            return process, status
        time.sleep(LOOK_AGAIN_SECONDS)
        return None

    def _take_end(self, process: int, status: int) -> None:
        number = self._running.pop(process, None)
        code = os.waitstatus_to_exitcode(status)
        if number is None or self._is_ending:  # as process 1 of a container it inherits others' children
            return
        if code == WRONG_SETTING and number not in self._started_again:  # else it has taken them before
            log.error("a worker does not take its settings; all end", worker=number)
            self._end(WRONG_SETTING)
            return
        if number in self._hung:
            silent = self._beats.patience.whole.total_seconds()
            log.error("worker hung, so it was killed", worker=number, silent_seconds=silent)
            self._hung.discard(number)
        else:
            log.error("worker died", worker=number, exit_code=code)
        self._started_again.add(number)
        self._start_later(number)

    def _start_later(self, number: int) -> None:
        self._deaths.note(number)
        now = time.monotonic()
        if now - self._started_at[number] > HEALTHY_AFTER_SECONDS:
            self._pauses[number] = FIRST_PAUSE_SECONDS
        if not self._is_ending:
            self._due[number] = now + self._pauses[number]
        self._pauses[number] = min(2 * self._pauses[number], LONGEST_PAUSE_SECONDS)

    def _look_after(self, _number: int, _frame: object) -> None:
        """Kill who hangs. It is logged when that is noted: here a line may be half written."""
        if self._is_ending:  # its supervisor waits for the end, and not for ever
            return
        silent = self._beats.look(seconds_since_boot())
        for process, number in self._running.items():
            if number in silent:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    self._hung.add(number)

    def _asked_to_end(self, _number: int, _frame: object) -> None:
        self._end(self._exit_code)

    def _end(self, code: int) -> None:
        """Have all workers end; who connects from now on is refused, since nobody else holds the sockets."""
        self._is_ending = True
        self._exit_code = code
        self._due.clear()
        for process in self._running:
            with suppress(ProcessLookupError):  # it has ended, and the signal came before that was noted
                os.kill(process, signal.SIGTERM)
        for sockets in self._sockets:
            sockets.close()
