"""A disk that was full: the real nats-server is started anew once there is room, and the others run on."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from servers import free_port
from supervised import Supervised, always
from tripost_embedded.disk_watch import DiskWatch
from tripost_embedded.nats_config import nats_config
from tripost_embedded.plans import NATS, nats_program
from tripost_embedded.readiness import nats_probe
from tripost_shared.bus.permissions import SERVICES, permissions
from tripost_shared.settings import Listen

BETWEEN_LOOKS = timedelta(milliseconds=5)
PASSES_TIME = "import signal\nsignal.pause()"


class SmallCluster(Supervised):
    """nats-server and a script in edge's place, under a watch whose disk is a number."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.free = 1 << 30
        port = free_port()
        config = folder / "nats.conf"
        config.write_text(nats_config(port, folder / "jetstream", dict.fromkeys(SERVICES, "secret"), permissions()))
        nats = [str(nats_program()), "-c", str(config)]
        greets = nats_probe(Listen(f"127.0.0.1:{port}"))
        self.start(
            [
                self.keeper(NATS, nats, greets, is_alive=greets, kill_after=timedelta(seconds=10)),
                self.keeper("edge", [sys.executable, "-c", PASSES_TIME], always),
            ]
        )
        watch = DiskWatch(folder, self.said.append, lambda: self.renew(NATS), lambda folder: self.free)
        self._watching = asyncio.create_task(watch.run(BETWEEN_LOOKS))

    async def close(self) -> None:
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        await super().close()


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
