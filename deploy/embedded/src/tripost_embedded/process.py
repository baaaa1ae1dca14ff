"""One service's process: started, its output taken, its end awaited, ended."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, cast

from tripost_embedded.output import ServiceLog
from tripost_shared.prctl import set_timer_slack
from tripost_shared.privileges import RunUser, die_with_parent

GATHER_SECONDS: Final = 0.05  # a busy service says a line per message; waking up for each costs more than the line
NOTE_AGAIN_SECONDS: Final = 2.0
LAST_WORDS_SECONDS: Final = 1.0  # for output still in the pipe when the process has ended


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `drops_to`: whom it becomes before it runs (None: it stays who starts it and drops by itself).

    `timer_slack`: how late the kernel may end its timed waits, None: as is usual (50 µs).
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    executable: str | None = None
    descriptors: tuple[int, ...] = ()
    drops_to: RunUser | None = None
    timer_slack: timedelta | None = None


class Process(asyncio.SubprocessProtocol):
    """A running service. Its process id is in its pid file as long as it lives."""

    def __init__(self, log: ServiceLog, pid_file: Path) -> None:
        self._log = log
        self._pid_file = pid_file
        self._transport: asyncio.SubprocessTransport | None = None
        self._has_exited = False
        self._gathers = False
        self._ended = asyncio.Event()

    @classmethod
    async def start(cls, program: Program, log: ServiceLog, pid_file: Path) -> "Process":
        """Start it; raises OSError."""
        _, process = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(log, pid_file),
            *program.command,
            env=dict(program.environment),
            executable=program.executable,
            pass_fds=program.descriptors,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # so that a Ctrl-C reaches us alone, and we stop the services in order
            preexec_fn=_in_child(os.getpid(), program),
        )
        return process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that it runs."""
        self._transport = cast("asyncio.SubprocessTransport", transport)  # another loop's may be no subclass of it
        self._note_pid()

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        """Take output, and let more of it gather before the next look."""
        if isinstance(data, bytes):
            self._log.feed(data)
        if not self._has_exited and (pipe := self._pipe(fd)) is not None:
            pipe.pause_reading()
            self._gathers = True
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._look_again, fd)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that all has been said, if it has ended."""
        if self._has_exited:
            self._ended.set()

    def process_exited(self) -> None:
        """Note its end, once its last words have been read."""
        self._pid_file.unlink(missing_ok=True)
        self._has_exited = True
        pipe = self._pipe(1)
        if pipe is None or pipe.is_closing():
            self._ended.set()
            return
        self._look_again(1)
        asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._ended.set)  # a child of it may hold the pipe

    async def ended(self) -> int:
        """Wait for its end; gives the exit code, negative for a signal."""
        await self._ended.wait()
        code = self._transport.get_returncode() if self._transport else None
        return 1 if code is None else code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; none when it has ended."""
        if self._transport is not None:
            with contextlib.suppress(ProcessLookupError):
                self._transport.send_signal(number)

    async def stop(self, within: timedelta) -> bool:
        """Ask it to end, and kill it when it takes too long; tells whether it ended by itself."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._ended.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._ended.wait()
            return False
        return True

    def _note_pid(self) -> None:
        """Write the pid file; on a full disk, of which the disk watch tells, once there is room."""
        if self._has_exited or self._transport is None:
            return
        try:
            self._pid_file.write_text(f"{self._transport.get_pid()}\n")
        except OSError:
            asyncio.get_running_loop().call_later(NOTE_AGAIN_SECONDS, self._note_pid)

    def _pipe(self, fd: int) -> asyncio.ReadTransport | None:
        pipe = self._transport.get_pipe_transport(fd) if self._transport is not None else None
        return cast("asyncio.ReadTransport | None", pipe)

    def _look_again(self, fd: int) -> None:
        pipe = self._pipe(fd)
        if self._gathers and pipe is not None and not pipe.is_closing():
            self._gathers = False
            pipe.resume_reading()


def _in_child(parent: int, program: Program) -> Callable[[], None]:
    """Give what the child does before it becomes the program: be root again or the user, and die when we do."""
    is_root = os.getuid() == 0

    def prepare() -> None:
        if is_root:
            os.seteuid(0)
            os.setegid(0)
        if program.drops_to is not None:
            program.drops_to.become()
        if program.timer_slack is not None:
            set_timer_slack(program.timer_slack)
        die_with_parent(parent)

    return prepare
