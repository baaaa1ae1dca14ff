"""Lists in parts: a cursor says after which row the next part begins, so that nothing is skipped or shown twice."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query
from pydantic import Field

from tripost_admin_api.api.models import Incoming
from tripost_admin_api.api.problems import invalid
from tripost_shared.bus.encoding import decode_json

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
        position = decode_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), kind)
        for value in position:  # type: ignore[attr-defined]  # kind is a tuple type
            _require_possible(value)
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError):
        raise invalid("query.cursor", "not a cursor of this list; leave it out to begin anew") from None
    return position


def part(rows: Sequence[Row], limit: int, position: Callable[[Row], Sequence[Any]]) -> tuple[Sequence[Row], str | None]:
    """Split what was read, one row more than the limit if there are more, into the part and its next cursor."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode(position(rows[limit - 1]))


def _require_possible(value: Any) -> None:
    """Raise ValueError or OverflowError for what no row can have, and a database would not take."""
    if isinstance(value, str) and "\0" in value:
        raise ValueError("no text that is kept has a NUL")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("times that are kept have a zone")
        value.astimezone(UTC)
