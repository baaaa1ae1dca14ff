"""Watches the room on the disk of the state's folder.

A stream of nats-server's that a full disk has refused a write fails all further ones for good, also once there is room
again, and every message is answered 451. Only a restart of nats-server mends that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from tripost_embedded.supervisor import Say
from tripost_shared.disk_space import ENOUGH_FROM, MEGABYTE, free_octets, is_short, room_left

BETWEEN_LOOKS: Final = timedelta(seconds=2)


class DiskWatch:
    """Says once that the disk is short of room, and once that it no longer is; then `when_room` is awaited.

    `free`: gives the octets that are free on a folder's disk; raises OSError.
    """

    def __init__(
        self,
        folder: Path,
        say: Say,
        when_room: Callable[[], Awaitable[None]],
        free: Callable[[Path], int] = free_octets,
    ) -> None:
        self._folder = folder
        self._say = say
        self._when_room = when_room
        self._free = free
        self._is_short = False

    async def run(self, between: timedelta = BETWEEN_LOOKS) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(between.total_seconds())

    async def look(self) -> None:
        """Look once. A disk that cannot be asked counts as it did before."""
        try:
            free = self._free(self._folder)
        except OSError:
            return
        was_short, self._is_short = self._is_short, is_short(free, was_short=self._is_short)
        if self._is_short and not was_short:
            needed = ENOUGH_FROM // MEGABYTE
            self._say(f"{room_left(self._folder, free)}: make room ({needed} MB), or mail is answered with 451")
        if was_short and not self._is_short:
            self._say(f"there is room again: {room_left(self._folder, free)}")
            await self._when_room()
