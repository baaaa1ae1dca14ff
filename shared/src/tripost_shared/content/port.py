"""The content store as services see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from tripost_shared.mail.content import Content


class ContentMissing(Exception):
    """The store has no such object, or not all of it."""


class ContentDamaged(ContentMissing):
    """The store has the object, but not as it was written."""


class ContentUnavailable(Exception):
    """The store did not answer."""


class StoredObject(msgspec.Struct, frozen=True):
    """What the store knows of an object."""

    name: str
    size_octets: int
    stored_at: datetime


class ContentWriter(Protocol):
    """An object that is being written; readable only after `commit`."""

    async def write(self, octets: bytes) -> None:
        """Append; waits when too much is on the way. Raises ContentUnavailable."""
        ...

    async def commit(self) -> Content:
        """Make it readable and durable; gives the reference.

        Raises ContentUnavailable, after which the object may be readable or not.
        """
        ...

    async def abort(self) -> None:
        """Forget what was written, but for what `commit` has made readable, or may have."""
        ...


class ContentStore(Protocol):
    """Named, immutable runs of octets."""

    def writer(self, name: str) -> ContentWriter:
        """Begin an object; an existing one of that name is replaced at `commit`."""
        ...

    def open(self, content: Content) -> AsyncIterator[bytes]:
        """Give the octets in chunks, inline ones in one; iterating raises ContentMissing or ContentUnavailable."""
        ...

    async def has(self, name: str) -> bool:
        """Tell whether there is an object of that name, whole as far as can be told without reading it.

        Raises ContentUnavailable.
        """
        ...

    async def delete(self, name: str, committed_by: datetime | None = None) -> None:
        """Remove the object; none of that name is no error. Raises ContentUnavailable.

        One that was committed after `committed_by` stays: it is not the one that was judged to be of no more use.
        """
        ...

    async def list(self) -> list[StoredObject]:
        """List what is stored. Raises ContentUnavailable."""
        ...

    async def delete_orphans(self, older_than: timedelta) -> int:
        """Remove what writers left that were killed before they could commit or abort; gives how many objects.

        `older_than` must exceed the time that any writer needs. Raises ContentUnavailable.
        """
        ...


@asynccontextmanager
async def aborted_on_failure(writer: ContentWriter) -> AsyncIterator[None]:
    """Leave nothing behind of what is written within, whatever ends it before its end."""
    try:
        yield
    except BaseException:  # a cancellation too: the next writer is another one
        await writer.abort()
        raise
