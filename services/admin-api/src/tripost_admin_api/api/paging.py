"""Lists in parts: a cursor says after which row the next part begins, so that nothing is skipped or shown twice."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query
from pydantic import Field

from tripost_admin_api.api.models import Incoming
from tripost_admin_api.api.problems import invalid

Row = TypeVar("Row")

LARGEST = 1000


class ListQuery(Incoming):
    """Which part of a list."""

    limit: int = Field(100, ge=1, le=LARGEST, description="Most items in one answer.")
    cursor: str = Field("", max_length=1000, description="`next_cursor` of the part before; empty for the first.")


Listing = Annotated[ListQuery, Query()]


def encode(position: Sequence[Any]) -> str:
    """Make a cursor of the values by which the list is sorted; nobody needs to understand it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode(cursor: str, kind: type[Row]) -> Row | None:
    """Give the position that a cursor tells, of the tuple type given; None for the first part. Raises Problem."""
    if not cursor:
        return None
    try:
        position = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
        if any("\0" in value for value in _texts(position)):
            raise ValueError("no text that is kept has a NUL")
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise invalid("query.cursor", "not a cursor of this list; leave it out to begin anew") from None
    return position


def part(rows: Sequence[Row], limit: int, position: Callable[[Row], Sequence[Any]]) -> tuple[Sequence[Row], str | None]:
    """Split what was read, one row more than the limit if there are more, into the part and its next cursor."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode(position(rows[limit - 1]))


def _texts(position: Any) -> list[str]:
    return [value for value in position if isinstance(value, str)]
