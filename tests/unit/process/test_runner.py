"""How a service's process lives and ends: real processes that run a service made for the test."""

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

WITHIN = 30
SERVICE = """
import asyncio, os, sys
from datetime import timedelta
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from tripost_shared import runner
from tripost_shared.settings import SettingsError

runner.DRAIN_WITHIN = timedelta(seconds=0.3)

class SampleSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRIPOST_SAMPLE_")
    threads: int = Field(1, ge=1)

class Sample:
    def __init__(self, common): self.settings = SampleSettings()
    def bind(self): print("bind", os.getuid(), flush=True)
    async def start(self): print("start", os.getuid(), flush=True)
    async def drain(self): print("drain", flush=True)
    async def stop(self): print("stop", flush=True)

{changes}
runner.run("sample", Sample)
"""


@contextmanager
def running(changes: str = "", **settings: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE.format(changes=changes)],
        env={"TRIPOST_RUN_USER": "nobody", "TRIPOST_HOSTNAME": "mx.example"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: "subprocess.Popen[str]") -> tuple[list[str], list[dict[str, Any]]]:
    """Wait for its end; gives the lines it printed and the events it logged."""
    printed, logged = process.communicate(timeout=WITHIN)
    return printed.splitlines(), [json.loads(line) for line in logged.splitlines()]


def wait_until_ready(process: "subprocess.Popen[str]") -> None:
    """Read its log up to the line that says so."""
    assert process.stderr is not None
    while line := process.stderr.readline():
        if "service ready" in line:
            return
    raise AssertionError("it ended before it was ready")


def stop_while_it_starts(process: "subprocess.Popen[str]") -> list[str]:
    """Ask it to end within `start`, which has said so; gives what it prints after that."""
    assert process.stdout is not None
    while process.stdout.readline().split()[0] != "start":
        pass
    process.terminate()
    return finish(process)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_stops_it(number: signal.Signals) -> None:
    with running() as process:
        wait_until_ready(process)
        process.send_signal(number)
        printed, events = finish(process)
    assert [line.split()[0] for line in printed] == ["bind", "start", "drain", "stop"]
    assert [event["event"] for event in events] == ["service draining", "service stopped"]
    assert process.returncode == 0


def test_what_it_has_made_by_its_start_is_spared_by_the_garbage_collection() -> None:
    changes = """
import gc
async def drain(self): print("drain", gc.get_freeze_count(), gc.get_threshold()[0], flush=True)
Sample.drain = drain
"""
    with running(changes) as process:
        wait_until_ready(process)
        process.terminate()
        printed, _ = finish(process)
    spared, threshold = next(line.split()[1:] for line in printed if line.startswith("drain "))
    assert int(spared) > 10_000  # its modules and classes
    assert int(threshold) > 700  # Python's own


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
def test_root_is_given_up_between_bind_and_start() -> None:
    with running() as process:
        wait_until_ready(process)
        process.terminate()
        printed, _ = finish(process)
    assert printed[0] == "bind 0"
    assert printed[1].startswith("start ")
    assert printed[1] != "start 0"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
@pytest.mark.parametrize(
    ("home", "then"),
    [
        pytest.param(pwd.getpwuid(0).pw_dir, pwd.getpwnam("nobody").pw_dir, id="root's"),
        pytest.param("/srv/tripost", "/srv/tripost", id="another"),
    ],
)
def test_libraries_do_not_look_for_their_files_in_the_home_of_root(home: str, then: str) -> None:
    changes = """
async def start(self): print("home", os.environ["HOME"], flush=True)
Sample.start = start
"""
    with running(changes, HOME=home) as process:
        wait_until_ready(process)
        process.terminate()
        printed, _ = finish(process)
    assert f"home {then}" in printed


def test_a_setting_out_of_range_is_one_line_and_exit_code_2() -> None:
    with running(TRIPOST_SAMPLE_THREADS="0") as process:
        _, told = process.communicate(timeout=WITHIN)
    assert process.returncode == 2
    assert told == "tripost sample: TRIPOST_SAMPLE_THREADS: accepted is 1 or more\n"


@pytest.mark.parametrize("step", ["def bind", "async def start"])
def test_a_setting_that_proves_unusable_later_is_one_line_and_exit_code_2(step: str) -> None:
    name = step.rpartition(" ")[2]
    changes = f"{step}(self): raise SettingsError('TRIPOST_SAMPLE_PORT: taken')\nSample.{name} = {name}"
    with running(changes) as process:
        _, told = process.communicate(timeout=WITHIN)
    assert process.returncode == 2
    assert told.splitlines()[-1] == "tripost sample: TRIPOST_SAMPLE_PORT: taken"


def test_a_setting_that_does_not_exist_is_said_with_the_one_that_was_meant() -> None:
    with running(TRIPOST_EDGE_PROXY_LISTNER="127.0.0.1:2526") as process:
        assert process.stderr is not None
        event = json.loads(process.stderr.readline())
    assert event["level"] == "warning"
    assert event["setting"] == "TRIPOST_EDGE_PROXY_LISTNER"
    assert event["nearest"] == "TRIPOST_EDGE_PROXY_LISTENER"


def test_a_host_name_that_nobody_has_set_is_said_if_other_hosts_cannot_know_it() -> None:
    """An empty variable counts as one that is not set."""
    unqualified = "from tripost_shared import hostname\nhostname.socket.gethostname = lambda: 'unheard-of'"
    with running(unqualified, TRIPOST_HOSTNAME="") as process:
        assert process.stderr is not None
        event = json.loads(process.stderr.readline())
    assert event["hostname"] == "unheard-of"
    assert "TRIPOST_HOSTNAME" in event["event"]


def test_what_breaks_it_is_logged_with_its_trace_and_exit_code_1() -> None:
    with running("async def start(self): raise ValueError('x')\nSample.start = start") as process:
        printed, events = finish(process)
    assert process.returncode == 1
    assert printed[-1] == "stop"
    assert "ValueError: x" in events[-1]["exception"]


def test_a_drain_that_takes_too_long_is_said_and_left() -> None:
    with running("async def drain(self): await asyncio.sleep(60)\nSample.drain = drain") as process:
        wait_until_ready(process)
        process.terminate()
        printed, events = finish(process)
    assert process.returncode == 0
    assert printed[-1] == "stop"
    assert any(event["event"] == "service was too slow" and event["step"] == "drain" for event in events)


def test_it_can_be_stopped_before_it_is_ready() -> None:
    waiting = (
        "async def start(self):\n    print('start', flush=True)\n    await asyncio.sleep(60)\nSample.start = start"
    )
    with running(waiting) as process:
        assert stop_while_it_starts(process) == ["stop"]
    assert process.returncode == 0


def test_an_error_that_nothing_caught_is_logged_and_the_service_goes_on() -> None:
    stray = (
        "async def start(self):\n"
        "    asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n"
        "    await asyncio.sleep(0)\n"
        "Sample.start = start"
    )
    with running(stray) as process:
        process.stderr and process.stderr.readline()
        process.terminate()
        _, events = finish(process)
    assert process.returncode == 0
    assert events[-1]["event"] == "service stopped"


def test_a_start_that_does_not_let_itself_be_cancelled_is_left() -> None:
    stubborn = (
        "async def start(self):\n"
        "    print('start', flush=True)\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        await asyncio.sleep(60)\n"
        "Sample.start = start"
    )
    with running(stubborn) as process:
        assert stop_while_it_starts(process) == ["stop"]
    assert process.returncode == 0


def test_a_start_that_has_lost_its_cancellation_is_cancelled_again() -> None:
    """As `asyncio.wait_for` of Python 3.11 does when the answer comes at the same time."""
    changes = """
runner.DRAIN_WITHIN = timedelta(seconds=20)
runner.CANCEL_AGAIN_SECONDS = 0.05
async def start(self):
    print("start", flush=True)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("lost", flush=True)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
Sample.start = start
"""
    with running(changes) as process:
        assert stop_while_it_starts(process) == ["lost", "cancelled", "stop"]
