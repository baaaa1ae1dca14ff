"""How many transactions may go on at one time: in all, and with one next hop, so that a slow one stops no other.

A next hop has a share of the waiting room. One that gets on quickly may take more of it: its deliveries have their turn
sooner than the queue could bring them back.
"""

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
    """`active`: transactions at one time. `waiting`: those that wait for their turn, for `patience` at most.

    Beyond these bounds a next hop's deliveries wait only if it is expected to serve them within `quick`.
    """

    active: int = 100
    active_per_hop: int = 20
    waiting: int = 200
    waiting_per_hop: int = 50
    patience: timedelta = timedelta(seconds=20)
    quick: timedelta = timedelta(seconds=3)


@dataclass(slots=True)
class _Lane:
    """One next hop's. `interval`: smoothed seconds between the ends of transactions while others wait; 0: not known."""

    turns: asyncio.Semaphore
    last_end: float  # or the begin, before any has ended
    users: int = 0
    interval: float = 0.0

    def ended(self, now: float, *, others_wait: bool) -> None:
        if others_wait:
            gap = now - self.last_end
            self.interval = self.interval * 0.9 + gap * 0.1 if self.interval else gap
        self.last_end = now

    def serves_within(self, seconds: float, waiting: int, now: float) -> bool:
        return now - self.last_end < seconds and waiting * self.interval < seconds


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
        now = asyncio.get_running_loop().time
        lane = lanes.get(hop) or lanes.setdefault(hop, _Lane(asyncio.Semaphore(self._limits.active_per_hop), now()))
        lane.users += 1
        try:
            await self._wait(lane)
            try:
                yield
            finally:
                lane.ended(now(), others_wait=lane.users > self._limits.active_per_hop)
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
        patience = self._patience_with(lane)
        self._counts.waiting += 1
        try:
            async with asyncio.timeout(patience.total_seconds()):
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

    def _patience_with(self, lane: _Lane) -> timedelta:
        """Say how long a delivery may wait for its turn; raises NoRoom."""
        limits = self._limits
        waiting_here = lane.users - limits.active_per_hop
        if self._counts.waiting < limits.waiting and waiting_here <= limits.waiting_per_hop:
            return limits.patience
        now = asyncio.get_running_loop().time()
        if lane.serves_within(limits.quick.total_seconds(), waiting_here, now):
            return limits.quick
        raise NoRoom("too many deliveries wait for it")
