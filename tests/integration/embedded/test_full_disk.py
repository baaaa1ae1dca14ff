"""A disk that was full: the real nats-server is started anew once there is room, and the others run on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest

from servers import free_port
from tripost_embedded.disk_watch import DiskWatch
from tripost_embedded.nats_config import nats_config
from tripost_embedded.output import LogFile, ServiceLog
from tripost_embedded.plans import NATS, nats_program
from tripost_embedded.process import Program
from tripost_embedded.readiness import Probe, nats_probe
from tripost_embedded.supervisor import Keeper, ServicePlan, Supervisor
from tripost_embedded.terminal import Terminal
from tripost_shared.bus.permissions import SERVICES, permissions
from tripost_shared.settings import Listen

DEADLINE = 20.0
BETWEEN_LOOKS = timedelta(milliseconds=5)
PASSES_TIME = "import signal\nsignal.pause()"


async def at_once() -> bool:
    return True


class SmallCluster:
    """nats-server and a script in edge's place, under a watch whose disk is a number."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.free = 1 << 30
        self._folder = folder
        self._terminal = Terminal(StringIO(), colours=False)
        port = free_port()
        config = folder / "nats.conf"
        config.write_text(nats_config(port, folder / "jetstream", dict.fromkeys(SERVICES, "secret"), permissions()))
        nats = [str(nats_program()), "-c", str(config)]
        keepers = [
            self._keeper(NATS, nats, nats_probe(Listen(f"127.0.0.1:{port}"))),
            self._keeper("edge", [sys.executable, "-c", PASSES_TIME], at_once),
        ]
        self._supervisor = Supervisor(keepers, self.said.append)
        self._watch = DiskWatch(
            folder, self.said.append, lambda: self._supervisor.renew(NATS), lambda folder: self.free
        )
        self._ready = asyncio.Event()
        self._running = asyncio.create_task(self._supervisor.run(self._ready.set))
        self._watching = asyncio.create_task(self._watch.run(BETWEEN_LOOKS))

    async def until_ready(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self._ready.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110 (other processes tell of nothing)
                await asyncio.sleep(0.01)

    def pid(self, name: str) -> int:
        return int((self._folder / f"{name}.pid").read_text())

    async def close(self) -> None:
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        self._supervisor.ask_to_stop()
        await self._running
        self._terminal.close()

    def _keeper(self, name: str, command: list[str], probe: Probe) -> Keeper:
        plan = ServicePlan(
            name,
            Program(command, {"PATH": os.defpath}),
            probe,
            timedelta(seconds=10),
            self._folder / f"{name}.pid",
            tells_wrong_setting=False,
            stop_turn=0,
        )
        log = ServiceLog(name, LogFile(self._folder / f"{name}.log", 1 << 20), self._terminal)
        return Keeper(plan, log, self.said.append)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[SmallCluster]:
    cluster = SmallCluster(tmp_path)
    yield cluster
    await cluster.close()


async def test_once_a_full_disk_has_room_again_nats_server_alone_is_started_anew(cluster: SmallCluster) -> None:
    await cluster.until_ready()
    nats, edge = cluster.pid(NATS), cluster.pid("edge")
    cluster.free = 0
    await cluster.until(lambda: any("is full: make room" in text for text in cluster.said))
    assert cluster.pid(NATS) == nats
    cluster.free = 1 << 30
    await cluster.until(lambda: "nats-server is ready again" in cluster.said)
    assert cluster.pid(NATS) != nats
    assert cluster.pid("edge") == edge
    there_is_room, *then = cluster.said[1:]
    assert there_is_room.startswith("there is room again: ")
    assert then == ["nats-server is stopped, to start anew", "nats-server is ready again"]
