"""Several workers: the first process holds the sockets and forks a child per worker, before any event loop runs.

A worker that dies is started again with a back-off, and clients that had connected to its socket meanwhile are served
then, since the first process keeps every socket open. The workers end when the first process does, however it ends.
"""

import ctypes
import os
import signal
import sys
import time
from typing import Final

import structlog

log = structlog.get_logger()

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
HEALTHY_AFTER_SECONDS: Final = 60.0  # a worker that lived so long is started again at once
WRONG_SETTING: Final = 2  # as runner.py says: to start again would not help


class Workers:
    """The children of the first process, by their process id."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._running: dict[int, int] = {}  # process id to the worker's number
        self._started_at = [0.0] * count
        self._pauses = [FIRST_PAUSE_SECONDS] * count
        self._is_ending = False

    def fork_all(self) -> int:
        """Give a worker's number, in that worker; the first process stays here and exits when all have ended."""
        for number in range(self._count):
            if self._fork(number):
                return number
        for ending in _ENDING:
            signal.signal(ending, self._end)
        return self._supervise()

    def _fork(self, number: int) -> bool:
        """Start a worker; True in the worker itself."""
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # none may fall between the fork and what follows it
        process = os.fork()
        if process:
            self._running[process] = number
            self._started_at[number] = time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            return False
        for ending in _ENDING:
            signal.signal(ending, signal.SIG_DFL)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        structlog.contextvars.bind_contextvars(worker=number)
        return True

    def _supervise(self) -> int:
        while self._running:
            process, status = os.wait()
            number = self._running.pop(process, None)
            code = os.waitstatus_to_exitcode(status)
            if number is None or self._is_ending:  # as process 1 of a container it inherits others' children
                continue
            if code == WRONG_SETTING:
                self._end(signal.SIGTERM, None)
                log.error("a worker could not start; all end", worker=number)
                continue
            log.error("worker died", worker=number, exit_code=code)
            self._pause_before(number)
            if not self._is_ending and self._fork(number):
                return number
        sys.exit(0 if self._is_ending else 1)

    def _pause_before(self, number: int) -> None:
        if time.monotonic() - self._started_at[number] > HEALTHY_AFTER_SECONDS:
            self._pauses[number] = FIRST_PAUSE_SECONDS
        until = time.monotonic() + self._pauses[number]
        self._pauses[number] = min(2 * self._pauses[number], LONGEST_PAUSE_SECONDS)
        while not self._is_ending and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _end(self, number: int, _frame: object) -> None:
        self._is_ending = True
        for process in self._running:
            os.kill(process, signal.SIGTERM)
