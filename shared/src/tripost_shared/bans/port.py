"""Bans as edge and admin-api see them."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from tripost_shared.contracts.bans import Ban


class BansUnavailable(Exception):
    """The bans cannot be read or written now."""


class Bans(Protocol):
    """Where bans are kept; one for each network. All raise BansUnavailable."""

    async def put(self, ban: Ban, keep_until: datetime) -> None:
        """Write a ban over what there is of its network; the entry is forgotten at `keep_until`."""
        ...

    async def all(self) -> list[Ban]:
        """Give all that is kept, also what is not in force any more; MOST_BANS at most."""
        ...

    async def find(self, network: str) -> Ban | None:
        """Give what is kept of exactly this network (as `banned_network` reads it), None for nothing."""
        ...


class HeardBans(Bans, Protocol):
    """Bans of which one process hears as others write them."""

    def hear(self, changed: Callable[[Ban], None], lost: Callable[[], None]) -> None:
        """Call `changed` with each ban as it is written, and `lost` when something may have been missed."""
        ...
