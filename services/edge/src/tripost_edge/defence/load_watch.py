"""Watches the event loop and the memory of this worker, and has new clients turned away while it is overloaded."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from tripost_edge import metrics
from tripost_edge.limits.load import INTERVAL, Lag, MemoryUse, Shedding
from tripost_shared.edge_limits import EdgeLimits

log = structlog.get_logger()

MEMORY_EVERY: Final = 10  # looks at the lag


class LoadWatch:
    """`limits` may be replaced at any time."""

    def __init__(self, limits: EdgeLimits, memory_in_use: Callable[[], MemoryUse]) -> None:
        self.limits = limits
        self._memory_in_use = memory_in_use
        self._lag = Lag()
        self._shedding = Shedding()
        self._memory = MemoryUse()
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_overloaded(self) -> bool:
        """Whether new clients are to be turned away."""
        return bool(self._shedding.because)

    @property
    def trouble(self) -> str:
        """Why they are; "" while they are not."""
        return f"new clients are turned away: {self._shedding.because}" if self._shedding.because else ""

    def start(self) -> None:
        """Look ten times a second, at the memory once."""
        self._memory = self._memory_in_use()
        self._watching = asyncio.create_task(self._watch())

    def stop(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        looks = 0
        while True:
            began = loop.time()
            await asyncio.sleep(INTERVAL)
            self._lag.add(max(0.0, loop.time() - began - INTERVAL))
            looks += 1
            if looks % MEMORY_EVERY == 0:
                self._memory = self._memory_in_use()
            self._look()

    def _look(self) -> None:
        lag = self._lag.p95
        metrics.loop_lag.set(lag)
        was_because = self._shedding.because
        if not self._shedding.look(lag, self._memory, self.limits):
            return
        metrics.shedding.set(self.is_overloaded)
        if self.is_overloaded:
            log.warning("overloaded: new clients are turned away", because=self._shedding.because)
        else:
            log.info("new clients are taken again", was=was_because)
