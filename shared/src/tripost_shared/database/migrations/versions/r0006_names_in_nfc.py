"""The directory: names in NFC, and on PostgreSQL the function that folds addresses where they are searched for.

A name that is there in both forms stays in both: mail is for the composed one, and the log tells which row nobody
finds any more.
"""

import unicodedata
from typing import Any

import sqlalchemy as sa
import structlog
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

log = structlog.get_logger()

# Those that lower all of Unicode, the best first; which there are depends on PostgreSQL's release, build and encoding.
COLLATIONS = ("pg_unicode_fast", "und-x-icu", "pg_c_utf8")
NAMES = (("mailboxes", "domain_id", "local_part"), ("aliases", "domain_id", "local_part"))
GRANTS = ("sender_grants", "mailbox_id", "pattern")


def upgrade() -> None:
    """Bring the schema from 0005 to 0006."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        _make_function(connection)
    for table in (*NAMES, GRANTS):
        _compose(connection, *table)


def _make_function(connection: sa.Connection) -> None:
    collation = next((name for name in COLLATIONS if _works(connection, name)), "default")  # the database's own
    folded = f'lower($1 COLLATE "{collation}")'
    if connection.scalar(sa.text("SELECT getdatabaseencoding()")) == "UTF8":  # normalize() works in no other
        folded = f"normalize({folded}, NFC)"
    op.execute(
        "CREATE OR REPLACE FUNCTION tripost_folded(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        f"AS 'SELECT {folded}'"
    )


def _works(connection: sa.Connection, collation: str) -> bool:
    """Try it: that the catalog lists it is not enough, as ICU's are there for SQL_ASCII too and fail in it."""
    try:
        with connection.begin_nested():
            connection.execute(sa.text(f"SELECT lower('X' COLLATE \"{collation}\")"))
    except sa.exc.DBAPIError:
        return False
    return True


def _compose(connection: sa.Connection, table_name: str, owner: str, name: str) -> None:
    table = sa.table(table_name, sa.column("id"), sa.column(owner), sa.column(name))
    for row in connection.execute(sa.select(table).where(_is_beyond_ascii(connection, table.c[name]))).all():
        key, of, present = row
        composed = unicodedata.normalize("NFC", present)
        if composed == present:
            continue
        same = sa.select(table.c.id).where(table.c[owner] == of, table.c[name] == composed)
        if connection.execute(same).first() is None:
            connection.execute(sa.update(table).where(table.c.id == key).values({name: composed}))
            log.info("a name is in NFC from now on", table=table_name, id=key, name=composed)
        elif table_name == GRANTS[0]:
            connection.execute(sa.delete(table).where(table.c.id == key))  # the other gives the same right
        else:
            log.warning("a name is there in NFC too: this row is found no more", table=table_name, id=key, name=present)


def _is_beyond_ascii(connection: sa.Connection, column: Any) -> Any:
    if connection.dialect.name == "postgresql":
        return column.op("~")("[^[:ascii:]]")  # not by length(), which counts octets in SQL_ASCII
    return sa.func.length(sa.cast(column, sa.LargeBinary)) > sa.func.length(column)
