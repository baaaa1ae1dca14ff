"""Bans in memory, for tests: several edges may share one."""

from collections.abc import Callable
from datetime import datetime

from tripost_shared.bans.port import BansUnavailable
from tripost_shared.clock import Clock
from tripost_shared.contracts.bans import Ban, ban_name, banned_network


class MemoryBans:
    """`is_unavailable` makes every call fail; `is_deaf` lets nobody hear what is written."""

    def __init__(self, clock: Clock) -> None:
        self.is_unavailable = False
        self.is_deaf = False
        self._clock = clock
        self._kept: dict[str, tuple[Ban, datetime]] = {}
        self._hearing: list[tuple[Callable[[Ban], None], Callable[[], None]]] = []

    async def put(self, ban: Ban, keep_until: datetime) -> None:
        """Write a ban, and tell all who listen."""
        self._require_available()
        self._kept[ban_name(banned_network(ban.network))] = (ban, keep_until)
        for changed, _ in () if self.is_deaf else tuple(self._hearing):
            changed(ban)

    async def all(self) -> list[Ban]:
        """Give all that is kept."""
        self._require_available()
        return [ban for ban, until in self._kept.values() if self._clock.now() < until]

    async def find(self, network: str) -> Ban | None:
        """Give one."""
        self._require_available()
        ban, until = self._kept.get(ban_name(banned_network(network)), (None, self._clock.now()))
        return ban if self._clock.now() < until else None

    def hear(self, changed: Callable[[Ban], None], lost: Callable[[], None]) -> None:
        """Hear what is written from now on."""
        self._hearing.append((changed, lost))

    def lose(self) -> None:
        """Tell all who listen that they may have missed something."""
        for _, lost in self._hearing:
            lost()

    def _require_available(self) -> None:
        if self.is_unavailable:
            raise BansUnavailable("told to be unavailable")
