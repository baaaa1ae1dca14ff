"""nats-server's timed waits may end late, which it gains from; other services' may not."""

import asyncio
import os
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest

from tripost_embedded.output import LogFile, ServiceLog
from tripost_embedded.process import Process, Program
from tripost_embedded.terminal import Terminal

TELLS_ITS_SLACK = "import sys; open(sys.argv[1], 'w').write(open('/proc/self/timerslack_ns').read())"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has timer slack")
@pytest.mark.parametrize("slack", [None, timedelta(milliseconds=5)])
async def test_a_program_gets_the_slack_that_its_plan_gives(tmp_path: Path, slack: timedelta | None) -> None:
    told = tmp_path / "told"
    program = Program([sys.executable, "-c", TELLS_ITS_SLACK, str(told)], dict(os.environ), timer_slack=slack)
    log = ServiceLog("nats-server", LogFile(tmp_path / "log", 1000), Terminal(StringIO(), colours=False))
    async with asyncio.timeout(20):
        process = await Process.start(program, log, tmp_path / "pid")
        assert await process.ended() == 0
    assert slack_in(told) == (slack_in(Path("/proc/self/timerslack_ns")) if slack is None else 5_000_000)


def slack_in(file: Path) -> int:
    return int(file.read_text())
