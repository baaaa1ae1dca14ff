"""Configuration in memory, for tests: source and publisher in one."""

import asyncio
from collections import defaultdict
from typing import Any

import msgspec

from tripost_shared.config.port import ConfigUnavailable, Snapshot, Watched
from tripost_shared.config.reading import read_into


class MemoryConfig:
    """Values live in a dictionary, as JSON; watchers are told at once. `is_unavailable` makes `put` fail."""

    def __init__(self) -> None:
        self.is_unavailable = False
        self._values: dict[str, bytes] = {}
        self._watched: dict[str, list[Watched[Any]]] = defaultdict(list)
        self._changed = asyncio.Event()

    async def watch(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key."""
        watched = Watched(kind())
        if key in self._values:
            read_into(watched, key, self._values[key])
        self._watched[key].append(watched)
        return watched

    async def watch_known(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key; waits while its value cannot be read."""
        watched = await self.watch(key, kind)
        while key in self._values and not read_into(watched, key, self._values[key]):
            self._changed.clear()
            await self._changed.wait()
        return watched

    async def put(self, key: str, snapshot: msgspec.Struct) -> None:
        """Replace the key's value."""
        if self.is_unavailable:
            raise ConfigUnavailable("told to be unavailable")
        self.put_octets(key, msgspec.json.encode(snapshot))

    def put_octets(self, key: str, value: bytes) -> None:
        """Replace the key's value by any octets, garbage too."""
        self._values[key] = value
        for watched in self._watched[key]:
            read_into(watched, key, value)
        self._changed.set()
