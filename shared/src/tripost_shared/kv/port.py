"""Shared state as services see it."""

from datetime import timedelta
from typing import Protocol


class BucketUnavailable(Exception):
    """The bucket did not answer."""


class Conflict(Exception):
    """Someone else changed the key first."""


class Entry(Protocol):
    """A value with the revision that `update` needs."""

    @property
    def value(self) -> bytes:
        """The octets."""
        ...

    @property
    def revision(self) -> int:
        """Grows with each change."""
        ...


class Bucket(Protocol):
    """Keys and values that all replicas see; keys match `[-/_=.a-zA-Z0-9]+`. All raise BucketUnavailable."""

    async def get(self, key: str) -> Entry | None:
        """Give the entry; None when there is none or it has expired."""
        ...

    async def create(self, key: str, value: bytes, ttl: timedelta) -> int:
        """Write a key that must not exist; gives its revision; raises Conflict."""
        ...

    async def update(self, key: str, value: bytes, revision: int, ttl: timedelta) -> int:
        """Write over exactly that revision, with a new life time; raises Conflict."""
        ...

    async def delete(self, key: str) -> None:
        """Forget the key."""
        ...

    async def keys(self) -> list[str]:
        """List the keys that have not expired."""
        ...
