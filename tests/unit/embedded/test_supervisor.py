"""Services are kept running, and stopped in order: with real processes, small scripts that stand for the services."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from supervised import Supervised
from tripost_embedded import restart
from tripost_embedded.readiness import Probe
from tripost_embedded.supervisor import Keeper
from tripost_shared.silence import Patience

PATIENCE = Patience(every=timedelta(milliseconds=20), looks=4)
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
NEEDS_NATS = OBEDIENT.replace(
    "    sys.exit(0)", "    while not (folder / 'nats-server.ready').exists(): time.sleep(0.01)\n    sys.exit(0)"
)
DEAF = OBEDIENT.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
# Refuses once while there is a file that stands for what is taken.
REFUSING_WHILE_TAKEN = OBEDIENT.replace(
    "def end", "if (folder / 'taken').exists():\n    (folder / 'taken').unlink()\n    sys.exit(2)\ndef end"
)
REFUSING = "import sys; print('TRIPOST_EDGE_WORKERS: too many', file=sys.stderr); sys.exit(2)"


class Stage(Supervised):
    """A supervisor over scripts that stand for services."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.interpreter = Path(sys.executable)
        self.kill_after = timedelta(seconds=1)
        self.hangs: Counter[str] = Counter()  # how many looks more are in vain
        self.looks: Counter[str] = Counter()

    def start_scripts(self, **scripts: str) -> None:
        self.start([self._keeper(name, script) for name, script in scripts.items()])

    def _keeper(self, name: str, script: str) -> Keeper:
        command = [str(self.interpreter), "-c", script, str(self.folder), name]
        return self.keeper(
            name,
            command,
            self._is_ready(name),
            is_alive=self._is_alive(name),
            kill_after=self.kill_after,
            patience=PATIENCE,
        )

    def _is_ready(self, name: str) -> Probe:
        async def probe() -> bool:
            return (self.folder / f"{name}.ready").exists()

        return probe

    def _is_alive(self, name: str) -> Probe:
        async def probe() -> bool:
            self.looks[name] += 1
            if self.hangs[name] > 0:
                self.hangs[name] -= 1
                await asyncio.Event().wait()
            return True

        return probe


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.close()


async def test_services_stop_turn_by_turn(stage: Stage) -> None:
    stage.start_scripts(**{"nats-server": OBEDIENT, "filter": OBEDIENT, "edge": OBEDIENT})
    await stage.until_ready()
    stage.ask_to_stop()
    assert await stage.ended() == ""
    assert (stage.folder / "ended").read_text().split() == ["edge", "filter", "nats-server"]
    assert not list(stage.folder.glob("*.pid"))


async def test_services_of_one_turn_stop_side_by_side(stage: Stage) -> None:
    """Neither ends before the other has been asked to."""
    stage.start_scripts(filter=ENDS_WITH_OTHERS, domains=ENDS_WITH_OTHERS)
    await stage.until_ready()
    stage.ask_to_stop()
    assert await stage.ended() == ""
    assert not [text for text in stage.said if "had not ended" in text]


async def test_a_service_that_is_killed_is_started_again_and_said_so(stage: Stage) -> None:
    stage.start_scripts(edge=OBEDIENT, filter=OBEDIENT)
    await stage.until_ready()
    first = stage.pid("edge")
    os.kill(first, signal.SIGKILL)
    await stage.until(lambda: "edge is ready again" in stage.said)
    assert stage.pid("edge") != first
    assert any(text.startswith("edge was ended by SIGKILL") and "starts again in 0.2 s" in text for text in stage.said)


async def test_a_service_that_hangs_is_killed_and_started_again_and_said_so(stage: Stage) -> None:
    stage.start_scripts(edge=OBEDIENT, filter=OBEDIENT)
    await stage.until_ready()
    edge, filter_ = stage.pid("edge"), stage.pid("filter")
    stage.hangs["edge"] = 1000
    await stage.until(lambda: any("edge was ended by SIGKILL" in text for text in stage.said))
    stage.hangs.clear()
    await stage.until(lambda: "edge is ready again" in stage.said)
    assert stage.said[0] == "edge hangs: it has answered nothing for 0.08 s, so it is killed"
    assert "starts again in 0.2 s" in stage.said[1]
    assert (stage.pid("edge") != edge, stage.pid("filter")) == (True, filter_)


async def test_a_service_that_hangs_for_a_moment_is_left_alone(stage: Stage) -> None:
    stage.start_scripts(edge=OBEDIENT)
    await stage.until_ready()
    for _ in range(3):
        stage.hangs["edge"], stage.looks["edge"] = PATIENCE.looks - 1, 0
        await stage.until(lambda: stage.looks["edge"] > PATIENCE.looks)
    assert stage.said == []


async def test_a_service_that_is_still_at_its_start_is_not_looked_after(stage: Stage) -> None:
    """It may migrate a database, or wait for another."""
    stage.hangs["edge"] = 1000
    stage.start_scripts(edge="import signal\nsignal.pause()", filter=OBEDIENT)
    await stage.until(lambda: stage.looks["filter"] > 2 * PATIENCE.looks)
    assert (stage.looks["edge"], stage.said) == (0, [])


async def test_a_service_that_drains_is_not_taken_for_one_that_hangs(stage: Stage) -> None:
    stage.start_scripts(edge=DEAF)
    await stage.until_ready()
    stage.hangs["edge"] = 1000
    stage.ask_to_stop()
    await stage.ended()
    assert stage.said == ["stopping; Ctrl-C again kills", "edge had not ended after 1 s: killed"]


async def test_a_service_whose_program_is_away_for_a_moment_is_tried_again_and_said_so(stage: Stage) -> None:
    """As while an upgrade replaces it."""
    stage.interpreter = stage.folder / "python"
    stage.start_scripts(edge=OBEDIENT)
    await stage.until(lambda: any("edge could not be started" in text for text in stage.said))
    stage.interpreter.symlink_to(sys.executable)
    await stage.until_ready()
    assert any("No such file" in text and "starts again in 0.2 s" in text for text in stage.said)


async def test_a_stop_does_not_wait_for_a_program_that_stays_away(stage: Stage) -> None:
    stage.interpreter = stage.folder / "python"
    stage.start_scripts(edge=OBEDIENT)
    await stage.until(lambda: any("starts again in 1.6 s" in text for text in stage.said))
    stage.ask_to_stop()
    assert await stage.ended() == ""


async def test_a_service_that_refuses_its_settings_ends_the_cluster(stage: Stage) -> None:
    stage.start_scripts(edge=REFUSING, filter=OBEDIENT)
    assert await stage.ended() == "edge"
    assert "TRIPOST_EDGE_WORKERS: too many" in (stage.folder / "edge.log").read_text()
    assert not stage.were_ready


async def test_a_service_that_refuses_what_it_took_before_is_started_again_and_said_so(stage: Stage) -> None:
    """As when another program takes its port between two starts."""
    stage.start_scripts(edge=REFUSING_WHILE_TAKEN)
    await stage.until_ready()
    (stage.folder / "taken").touch()
    (stage.folder / "edge.ready").unlink()
    os.kill(stage.pid("edge"), signal.SIGKILL)
    await stage.until(lambda: "edge is ready again" in stage.said)
    assert any(text.startswith("edge refused settings that it had taken before (exit code 2;") for text in stage.said)


async def test_a_nats_server_that_panics_is_started_again(stage: Stage) -> None:
    """Go ends such a program with 2."""
    stage.start_scripts(**{"nats-server": REFUSING_WHILE_TAKEN, "edge": OBEDIENT})
    await stage.until_ready()
    (stage.folder / "taken").touch()
    os.kill(stage.pid("nats-server"), signal.SIGKILL)
    await stage.until(lambda: any(text.startswith("nats-server ended (exit code 2)") for text in stage.said))
    await stage.until(lambda: "nats-server is ready again" in stage.said)


async def test_one_service_is_started_anew_and_the_others_left_running(stage: Stage) -> None:
    stage.start_scripts(**{"nats-server": OBEDIENT, "edge": OBEDIENT})
    await stage.until_ready()
    nats, edge = stage.pid("nats-server"), stage.pid("edge")
    await stage.renew("nats-server")
    await stage.until(lambda: "nats-server is ready again" in stage.said)
    assert (stage.pid("nats-server") != nats, stage.pid("edge") == edge) == (True, True)
    assert stage.said == ["nats-server is stopped, to start anew", "nats-server is ready again"]


async def test_a_service_that_is_deaf_to_its_end_is_killed_and_started_anew(stage: Stage) -> None:
    stage.start_scripts(**{"nats-server": DEAF})
    await stage.until_ready()
    await stage.renew("nats-server")
    await stage.until(lambda: "nats-server is ready again" in stage.said)
    assert "nats-server had not ended after 1 s: killed" in stage.said


async def test_nothing_is_started_anew_once_all_stop(stage: Stage) -> None:
    stage.start_scripts(**{"nats-server": OBEDIENT, "edge": DEAF})
    await stage.until_ready()
    stage.ask_to_stop()
    await stage.renew("nats-server")
    await stage.ended()
    assert not [text for text in stage.said if "anew" in text]


async def test_a_stop_while_a_service_ends_to_start_anew_is_the_end_of_it(stage: Stage) -> None:
    stage.start_scripts(**{"nats-server": DEAF})
    await stage.until_ready()
    renewing = asyncio.create_task(stage.renew("nats-server"))
    await stage.until(lambda: "nats-server is stopped, to start anew" in stage.said)
    stage.ask_to_stop()
    assert await stage.ended() == ""
    await renewing
    assert "nats-server is ready again" not in stage.said


async def test_a_service_that_does_not_end_in_time_is_killed_and_said_so(stage: Stage) -> None:
    stage.start_scripts(edge=DEAF)
    await stage.until_ready()
    stage.ask_to_stop()
    await stage.ended()
    assert "edge had not ended after 1 s: killed" in stage.said


async def test_asked_to_stop_a_second_time_everything_is_killed_at_once(stage: Stage) -> None:
    stage.start_scripts(edge=DEAF, filter=DEAF)
    await stage.until_ready()
    stage.ask_to_stop()
    stage.ask_to_stop()
    await stage.ended()
    assert not [text for text in stage.said if "had not ended" in text or "starts again" in text]


async def test_a_service_that_waits_for_its_next_start_does_not_hold_up_the_stop(stage: Stage) -> None:
    stage.start_scripts(edge="raise SystemExit(1)")
    await stage.until(lambda: any("starts again in 1.6 s" in text for text in stage.said))
    stage.ask_to_stop()
    assert await stage.ended() == ""


@pytest.mark.parametrize("is_noticed", [True, False], ids=["and waits for its start", "just now"])
async def test_a_nats_server_that_has_died_is_back_at_once_for_the_others_to_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, is_noticed: bool
) -> None:
    monkeypatch.setattr(restart, "FIRST_DELAY", restart.LONGEST_DELAY)
    stage.kill_after = timedelta(seconds=10)
    stage.start_scripts(**{"nats-server": OBEDIENT, "edge": NEEDS_NATS})
    await stage.until_ready()
    (stage.folder / "nats-server.ready").unlink()
    os.kill(stage.pid("nats-server"), signal.SIGKILL)
    if is_noticed:
        await stage.until(lambda: any("starts again in 30 s" in text for text in stage.said))
    stage.ask_to_stop()
    assert await stage.ended() == ""
    assert (stage.folder / "ended").read_text().split() == ["edge", "nats-server"]
    assert not [text for text in stage.said if "had not ended" in text]
