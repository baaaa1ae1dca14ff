"""Services are kept running, and stopped in order: with real processes, small scripts that stand for the services."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest

from tripost_embedded.output import LogFile, ServiceLog
from tripost_embedded.process import Program
from tripost_embedded.supervisor import Keeper, ServicePlan, Supervisor
from tripost_embedded.terminal import Terminal

DEADLINE = 20.0
# Says that it is ready by a file, ends at SIGTERM and writes down when.
OBEDIENT = """
import signal, sys, pathlib, time
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def end(*_):
    with open(folder / "ended", "a") as file: file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
(folder / (name + ".ready")).write_text("")
while True: signal.pause()
"""
# Ends when two of its kind have been asked to.
ENDS_WITH_OTHERS = OBEDIENT.replace(
    "    sys.exit(0)", "    while len((folder / 'ended').read_text().split()) < 2: time.sleep(0.01)\n    sys.exit(0)"
)
DEAF = OBEDIENT.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
# Refuses once while there is a file that stands for what is taken.
REFUSING_WHILE_TAKEN = OBEDIENT.replace(
    "def end", "if (folder / 'taken').exists():\n    (folder / 'taken').unlink()\n    sys.exit(2)\ndef end"
)
REFUSING = "import sys; print('TRIPOST_EDGE_WORKERS: too many', file=sys.stderr); sys.exit(2)"
STOP_TURNS = {"edge": 0, "filter": 1, "domains": 1, "nats-server": 2}


class Stage:
    """A supervisor over scripts, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.all_ready = asyncio.Event()
        self.terminal = Terminal(StringIO(), colours=False)
        self.interpreter = Path(sys.executable)
        self._supervisor: Supervisor | None = None
        self._running: asyncio.Task[str] | None = None

    def start(self, **scripts: str) -> None:
        keepers = [self._keeper(name, script) for name, script in scripts.items()]
        self._supervisor = Supervisor(keepers, self.said.append)
        self._running = asyncio.create_task(self._supervisor.run(self.all_ready.set))

    def pid(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text())

    def ask_to_stop(self) -> None:
        assert self._supervisor
        self._supervisor.ask_to_stop()

    async def renew(self, service: str) -> None:
        assert self._supervisor
        await self._supervisor.renew(service)

    async def until_ready(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.all_ready.wait()

    async def ended(self) -> str:
        assert self._running
        async with asyncio.timeout(DEADLINE):
            return await self._running

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110 (files and other processes tell of nothing)
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        if self._running and not self._running.done():
            self.ask_to_stop()
            self.ask_to_stop()
            await self.ended()
        self.terminal.close()

    def _keeper(self, name: str, script: str) -> Keeper:
        async def probe() -> bool:
            return (self.folder / f"{name}.ready").exists()

        plan = ServicePlan(
            name,
            Program([str(self.interpreter), "-c", script, str(self.folder), name], dict(os.environ)),
            probe,
            timedelta(seconds=1),
            self.folder / f"{name}.pid",
            tells_wrong_setting=name != "nats-server",
            stop_turn=STOP_TURNS[name],
        )
        log = ServiceLog(name, LogFile(self.folder / f"{name}.log", 1 << 20), self.terminal)
        return Keeper(plan, log, self.said.append)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.close()


async def test_services_stop_turn_by_turn(stage: Stage) -> None:
    stage.start(**{"nats-server": OBEDIENT, "filter": OBEDIENT, "edge": OBEDIENT})
    await stage.until_ready()
    stage.ask_to_stop()
    assert await stage.ended() == ""
    assert (stage.folder / "ended").read_text().split() == ["edge", "filter", "nats-server"]
    assert not list(stage.folder.glob("*.pid"))


async def test_services_of_one_turn_stop_side_by_side(stage: Stage) -> None:
    """Neither ends before the other has been asked to."""
    stage.start(filter=ENDS_WITH_OTHERS, domains=ENDS_WITH_OTHERS)
    await stage.until_ready()
    stage.ask_to_stop()
    assert await stage.ended() == ""
    assert not [text for text in stage.said if "had not ended" in text]


async def test_a_service_that_is_killed_is_started_again_and_said_so(stage: Stage) -> None:
    stage.start(edge=OBEDIENT, filter=OBEDIENT)
    await stage.until_ready()
    first = stage.pid("edge")
    os.kill(first, signal.SIGKILL)
    await stage.until(lambda: "edge is ready again" in stage.said)
    assert stage.pid("edge") != first
    assert any(text.startswith("edge was ended by SIGKILL") and "starts again in 0.2 s" in text for text in stage.said)


async def test_a_service_whose_program_is_away_for_a_moment_is_tried_again_and_said_so(stage: Stage) -> None:
    """As while an upgrade replaces it."""
    stage.interpreter = stage.folder / "python"
    stage.start(edge=OBEDIENT)
    await stage.until(lambda: any("edge could not be started" in text for text in stage.said))
    stage.interpreter.symlink_to(sys.executable)
    await stage.until_ready()
    assert any("No such file" in text and "starts again in 0.2 s" in text for text in stage.said)


async def test_a_stop_does_not_wait_for_a_program_that_stays_away(stage: Stage) -> None:
    stage.interpreter = stage.folder / "python"
    stage.start(edge=OBEDIENT)
    await stage.until(lambda: any("starts again in 1.6 s" in text for text in stage.said))
    stage.ask_to_stop()
    assert await stage.ended() == ""


async def test_a_service_that_refuses_its_settings_ends_the_cluster(stage: Stage) -> None:
    stage.start(edge=REFUSING, filter=OBEDIENT)
    assert await stage.ended() == "edge"
    assert "TRIPOST_EDGE_WORKERS: too many" in (stage.folder / "edge.log").read_text()
    assert not stage.all_ready.is_set()


async def test_a_service_that_refuses_what_it_took_before_is_started_again_and_said_so(stage: Stage) -> None:
    """As when another program takes its port between two starts."""
    stage.start(edge=REFUSING_WHILE_TAKEN)
    await stage.until_ready()
    (stage.folder / "taken").touch()
    (stage.folder / "edge.ready").unlink()
    os.kill(stage.pid("edge"), signal.SIGKILL)
    await stage.until(lambda: "edge is ready again" in stage.said)
    assert any(text.startswith("edge refused settings that it had taken before (exit code 2;") for text in stage.said)


async def test_a_nats_server_that_panics_is_started_again(stage: Stage) -> None:
    """Go ends such a program with 2."""
    stage.start(**{"nats-server": REFUSING_WHILE_TAKEN, "edge": OBEDIENT})
    await stage.until_ready()
    (stage.folder / "taken").touch()
    os.kill(stage.pid("nats-server"), signal.SIGKILL)
    await stage.until(lambda: any(text.startswith("nats-server ended (exit code 2)") for text in stage.said))
    await stage.until(lambda: "nats-server is ready again" in stage.said)


async def test_one_service_is_started_anew_and_the_others_left_running(stage: Stage) -> None:
    stage.start(**{"nats-server": OBEDIENT, "edge": OBEDIENT})
    await stage.until_ready()
    nats, edge = stage.pid("nats-server"), stage.pid("edge")
    await stage.renew("nats-server")
    await stage.until(lambda: "nats-server is ready again" in stage.said)
    assert (stage.pid("nats-server") != nats, stage.pid("edge") == edge) == (True, True)
    assert stage.said == ["nats-server is stopped, to start anew", "nats-server is ready again"]


async def test_a_service_that_is_deaf_to_its_end_is_killed_and_started_anew(stage: Stage) -> None:
    stage.start(**{"nats-server": DEAF})
    await stage.until_ready()
    await stage.renew("nats-server")
    await stage.until(lambda: "nats-server is ready again" in stage.said)
    assert "nats-server had not ended after 1 s: killed" in stage.said


async def test_nothing_is_started_anew_once_all_stop(stage: Stage) -> None:
    stage.start(**{"nats-server": OBEDIENT, "edge": DEAF})
    await stage.until_ready()
    stage.ask_to_stop()
    await stage.renew("nats-server")
    await stage.ended()
    assert not [text for text in stage.said if "anew" in text]


async def test_a_stop_while_a_service_ends_to_start_anew_is_the_end_of_it(stage: Stage) -> None:
    stage.start(**{"nats-server": DEAF})
    await stage.until_ready()
    renewing = asyncio.create_task(stage.renew("nats-server"))
    await stage.until(lambda: "nats-server is stopped, to start anew" in stage.said)
    stage.ask_to_stop()
    assert await stage.ended() == ""
    await renewing
    assert "nats-server is ready again" not in stage.said


async def test_a_service_that_does_not_end_in_time_is_killed_and_said_so(stage: Stage) -> None:
    stage.start(edge=DEAF)
    await stage.until_ready()
    stage.ask_to_stop()
    await stage.ended()
    assert "edge had not ended after 1 s: killed" in stage.said


async def test_asked_to_stop_a_second_time_everything_is_killed_at_once(stage: Stage) -> None:
    stage.start(edge=DEAF, filter=DEAF)
    await stage.until_ready()
    stage.ask_to_stop()
    stage.ask_to_stop()
    await stage.ended()
    assert not [text for text in stage.said if "had not ended" in text or "starts again" in text]


async def test_a_service_that_waits_for_its_next_start_does_not_hold_up_the_stop(stage: Stage) -> None:
    stage.start(edge="raise SystemExit(1)")
    await stage.until(lambda: any("starts again in 1.6 s" in text for text in stage.said))
    stage.ask_to_stop()
    assert await stage.ended() == ""
