"""How many transactions may go on at one time: in all, and with one next hop, so that a slow one stops no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from tripost_domains.directory.model import NextHop


class NoRoom(Exception):
    """Too many wait already, or it took too long: the delivery belongs into the queue."""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """`active`: transactions at one time. `waiting`: those that wait for their turn, for `patience` at most."""

    active: int = 100
    active_per_hop: int = 20
    waiting: int = 200
    waiting_per_hop: int = 50
    patience: timedelta = timedelta(seconds=20)


@dataclass(slots=True)
class _Lane:
    turns: asyncio.Semaphore
    users: int = 0


@dataclass(slots=True)
class _Counts:
    waiting: int = 0
    lanes: dict[NextHop, _Lane] = field(default_factory=dict)


class Gate:
    """Lets transactions in; first their next hop must have room, then the whole."""

    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        self._turns = asyncio.Semaphore(limits.active)
        self._counts = _Counts()

    @asynccontextmanager
    async def enter(self, hop: NextHop) -> AsyncIterator[None]:
        """Hold a place while the block runs; raises NoRoom."""
        lanes = self._counts.lanes
        lane = lanes.get(hop) or lanes.setdefault(hop, _Lane(asyncio.Semaphore(self._limits.active_per_hop)))
        lane.users += 1
        try:
            await self._wait(lane)
            try:
                yield
            finally:
                self._turns.release()
                lane.turns.release()
        finally:
            lane.users -= 1
            if not lane.users:
                del lanes[hop]

    async def _wait(self, lane: _Lane) -> None:
        if not lane.turns.locked() and not self._turns.locked():  # then neither acquire waits
            await lane.turns.acquire()
            await self._turns.acquire()
            return
        waiting_here = lane.users - self._limits.active_per_hop
        if self._counts.waiting >= self._limits.waiting or waiting_here > self._limits.waiting_per_hop:
            raise NoRoom("too many deliveries wait for it")
        self._counts.waiting += 1
        try:
            async with asyncio.timeout(self._limits.patience.total_seconds()):
                await lane.turns.acquire()
                try:
                    await self._turns.acquire()
                except BaseException:
                    lane.turns.release()
                    raise
        except TimeoutError as error:
            raise NoRoom("no turn in time") from error
        finally:
            self._counts.waiting -= 1
