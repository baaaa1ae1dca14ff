"""Programs under the embedded cluster's supervisor, in a folder of their own, for tests."""

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Final

from tripost_embedded.liveness import PATIENCE
from tripost_embedded.output import LogFile, ServiceLog
from tripost_embedded.process import Program
from tripost_embedded.readiness import Probe
from tripost_embedded.supervisor import Keeper, ServicePlan, Supervisor
from tripost_embedded.terminal import Terminal
from tripost_shared.silence import Patience

DEADLINE: Final = 20.0
STOP_TURNS: Final = {"edge": 0, "filter": 1, "domains": 1, "nats-server": 2}


async def always() -> bool:
    """Answer a probe: it is ready, it is alive."""
    return True


class Supervised:
    """A supervisor, its programs, and what it said. `<name>.log` has a program's output, `<name>.pid` its process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self._all_ready = asyncio.Event()
        self._terminal = Terminal(StringIO(), colours=False)
        self._supervisor: Supervisor | None = None
        self._running: asyncio.Task[str] | None = None

    def keeper(
        self,
        name: str,
        command: Sequence[str],
        is_ready: Probe,
        *,
        is_alive: Probe = always,
        kill_after: timedelta = timedelta(seconds=1),
        patience: Patience = PATIENCE,
    ) -> Keeper:
        """Plan to keep a program under the name of a service."""
        plan = ServicePlan(
            name,
            Program(command, dict(os.environ)),
            is_ready,
            is_alive,
            kill_after,
            self.folder / f"{name}.pid",
            tells_wrong_setting=name != "nats-server",
            stop_turn=STOP_TURNS[name],
        )
        log = ServiceLog(name, LogFile(self.folder / f"{name}.log", 1 << 20), self._terminal)
        return Keeper(plan, log, self.said.append, patience)

    def start(self, keepers: Sequence[Keeper]) -> None:
        """Start all."""
        self._supervisor = Supervisor(keepers, self.said.append)
        self._running = asyncio.create_task(self._supervisor.run(self._all_ready.set))

    @property
    def were_ready(self) -> bool:
        """Whether all have been ready."""
        return self._all_ready.is_set()

    def pid(self, name: str) -> int:
        """Give a program's process id."""
        return int((self.folder / f"{name}.pid").read_text())

    def ask_to_stop(self) -> None:
        """Do as Ctrl-C does."""
        assert self._supervisor
        self._supervisor.ask_to_stop()

    async def renew(self, name: str) -> None:
        """Have one started anew."""
        assert self._supervisor
        await self._supervisor.renew(name)

    async def until_ready(self) -> None:
        """Wait until all have been ready."""
        async with asyncio.timeout(DEADLINE):
            await self._all_ready.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110 (files and other processes tell of nothing)
                await asyncio.sleep(0.01)

    async def ended(self) -> str:
        """Wait until all have stopped; gives who refused its settings, or ""."""
        assert self._running
        async with asyncio.timeout(DEADLINE):
            return await self._running

    async def close(self) -> None:
        """Kill what is left."""
        if self._running and not self._running.done():
            self.ask_to_stop()
            self.ask_to_stop()
            await self.ended()
        self._terminal.close()
