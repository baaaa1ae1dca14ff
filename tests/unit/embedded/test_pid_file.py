"""The process id of a service is in its pid file, as soon as the disk takes it."""

import sys
from io import StringIO
from pathlib import Path

import pytest

from edge_process import until
from tripost_embedded import process
from tripost_embedded.output import LogFile, ServiceLog
from tripost_embedded.process import Process, Program
from tripost_embedded.terminal import Terminal

WAITING = "import signal\nwhile True: signal.pause()"


async def test_it_is_written_later_when_that_cannot_be_done_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "NOTE_AGAIN_SECONDS", 0.01)
    log = ServiceLog("edge", LogFile(tmp_path / "edge.log", 1000), Terminal(StringIO(), colours=False))
    pid_file = tmp_path / "run" / "edge.pid"
    running = await Process.start(Program([sys.executable, "-c", WAITING], {}), log, pid_file)
    try:
        assert not pid_file.exists()
        pid_file.parent.mkdir()
        await until(lambda: _command_of(pid_file).endswith(WAITING.encode() + b"\0"))
    finally:
        running.signal(process.signal.SIGKILL)
        await running.ended()
    assert not pid_file.exists()


def _command_of(pid_file: Path) -> bytes:
    """Give the command line of the process that it names; b"" when it names none yet."""
    number = pid_file.read_text().strip() if pid_file.exists() else ""
    return Path(f"/proc/{number}/cmdline").read_bytes() if number else b""
