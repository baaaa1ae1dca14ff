"""Configuration as services see it."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

Snapshot = TypeVar("Snapshot", bound=msgspec.Struct)


class ConfigUnavailable(Exception):
    """The configuration could not be written now."""


class Watched(Generic[Snapshot]):
    """A configuration struct that is always the newest one known."""

    def __init__(self, current: Snapshot) -> None:
        self._current = current
        self._listeners: list[Callable[[Snapshot], None]] = []

    @property
    def current(self) -> Snapshot:
        """The snapshot in force."""
        return self._current

    def on_change(self, call: Callable[[Snapshot], None]) -> None:
        """Be told of each later snapshot."""
        self._listeners.append(call)

    def replace(self, snapshot: Snapshot) -> None:
        """Put a newer snapshot in force; for the sources."""
        self._current = snapshot
        for listener in self._listeners:
            listener(snapshot)


class ConfigSource(Protocol):
    """Where services watch configuration."""

    async def watch(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key; the defaults count while its value cannot be read, which is logged."""
        ...

    async def watch_known(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key; returns only once its value was read, or is known not to exist. Says what it waits for."""
        ...


class ConfigPublisher(Protocol):
    """Where admin-api writes configuration."""

    async def put(self, key: str, snapshot: msgspec.Struct) -> None:
        """Replace the key's value for all tiers. Raises ConfigUnavailable."""
        ...
