"""Lists of the API, read part by part, and never cut off without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tripost_admin_api.cli.output import Form, note

LARGEST_PAGE = 500

Get = Callable[..., Any]  # of the API's client: a path and a query to the answer


class Listing:
    """A list, read while it is gone through: no more than a part of it is held. Raises CommandFailed."""

    def __init__(self, get: Get, where: str, most: int | None = None, **query: Any) -> None:
        self._get = get
        self._where = where
        self._query = query
        self.most = most
        self.is_cut = False  # at its end: whether there are more than `most`

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Give its items, `most` at most."""
        cursor: str | None = ""
        left = self.most
        while cursor is not None:
            limit = LARGEST_PAGE if left is None else min(left, LARGEST_PAGE)
            page = self._get(self._where, **self._query, limit=limit, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if left is not None:
                left -= len(page["items"])
                if left <= 0:
                    self.is_cut = cursor is not None
                    return


def most_shown(form: Form, limit: int | None, in_a_table: int) -> int | None:
    """Say how many items to read when `limit` is what was asked for: people get a screenful, programs all."""
    return in_a_table if limit is None and form is Form.TABLE else limit


def note_if_cut(listing: Listing, what: str) -> None:
    """Remark that there are more than were shown."""
    if listing.is_cut:
        note(
            f"There are more than these {listing.most} {what}: --limit shows more; -o json and -o yaml without it, all."
        )
