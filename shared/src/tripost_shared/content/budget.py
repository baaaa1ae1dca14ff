"""A bound on the octets that are under way at one time, in memory or on the network."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class OctetBudget:
    """Octets to be taken and given back; who finds too few waits, first come, first served.

    More than there are in all are given to one who then has them alone.
    """

    def __init__(self, octets: int) -> None:
        self._all = octets
        self._left = octets
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, octets: int) -> AsyncIterator[None]:
        """Hold so many while the block runs."""
        octets = min(octets, self._all)
        await self._acquire(octets)
        try:
            yield
        finally:
            self._give_back(octets)

    async def _acquire(self, octets: int) -> None:
        if not self._waiting and octets <= self._left:
            self._left -= octets
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((octets, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self._give_back(0 if turn.cancelled() else octets)
            raise

    def _give_back(self, octets: int) -> None:
        self._left += octets
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.cancelled():
                if wanted > self._left:
                    return
                self._left -= wanted
                turn.set_result(None)
            self._waiting.popleft()
