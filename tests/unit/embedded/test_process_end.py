"""No service outlives its supervisor, whatever user it has become."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# A parent that starts a child as the cluster does, prints the child's id, and waits to be killed.
PARENT = """
import asyncio, sys
from io import StringIO
from pathlib import Path
from tripost_embedded.output import LogFile, ServiceLog
from tripost_embedded.process import Process, Program
from tripost_embedded.terminal import Terminal
from tripost_shared.privileges import RunUser, act_as
folder, child, run_user = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
user = RunUser.named(run_user) if run_user else None
if user: act_as(user)
async def main():
    log = ServiceLog("edge", LogFile(folder / "edge.log", 1000), Terminal(StringIO(), colours=False))
    await Process.start(Program([sys.executable, "-c", child], {}), log, folder / "edge.pid")
    await asyncio.sleep(60)
asyncio.run(main())
"""
WAITING_CHILD = "import signal\nwhile True: signal.pause()"
DROPPING_CHILD = f"""
from tripost_shared.privileges import give_up_root
give_up_root("nobody")
{WAITING_CHILD}
"""
DEADLINE = 20.0


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def is_gone(process: int) -> bool:
    """Ended, or a zombie that nobody has collected yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="tripost-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


@pytest.mark.parametrize(
    ("child", "run_user"),
    [
        pytest.param(WAITING_CHILD, "", id="as the same user"),
        pytest.param(
            DROPPING_CHILD,
            "nobody",
            id="as root which the child has given up",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="root only"),
        ),
    ],
)
def test_a_service_dies_with_its_supervisor(folder: Path, child: str, run_user: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(folder), child, run_user]) as parent:
        pid_file = folder / "edge.pid"
        until(lambda: pid_file.exists() and bool(pid_file.read_text()))
        process = int(pid_file.read_text())
        expected = pwd.getpwnam(run_user).pw_uid if run_user else os.getuid()
        until(lambda: uid_of(process) == expected)
        parent.send_signal(signal.SIGKILL)
    until(lambda: is_gone(process))


def uid_of(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Uid:"))
