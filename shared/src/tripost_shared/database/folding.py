"""`tripost_shared.mail.address.folded` as a function of the database, for addresses kept as they were written.

A database's own lower() is no match for it: SQLite's knows ASCII alone, PostgreSQL's what the database's locale knows.
On SQLite each connection is given Python's; on PostgreSQL migration 0006 has made one.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Text
from sqlalchemy.sql.functions import Function

from tripost_shared.mail.address import folded

NAME: Final = "tripost_folded"


def folded_column(column: Any) -> ColumnElement[str]:
    """Fold a column of text in SQL."""
    return Function(NAME, column, type_=Text())


def give_to_sqlite(connection: Any) -> None:
    """Make the function known to a connection (of the driver), which then counts it as SQLite's own: deterministic."""
    connection.create_function(NAME, 1, _folded_or_null, deterministic=True)


def _folded_or_null(text: str | None) -> str | None:
    return None if text is None else folded(text)
