"""The engine: PostgreSQL (asyncpg) in production, SQLite (aiosqlite, WAL) embedded."""

import sqlite3
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import URL, Connection, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tripost_shared.database.folding import give_to_sqlite
from tripost_shared.settings import SettingsError

ACCEPTED: Final = ("postgresql+asyncpg", "sqlite+aiosqlite")
CONNECT_WITHIN: Final = timedelta(seconds=5)
STATEMENT_WITHIN: Final = timedelta(seconds=15)
LOCK_WITHIN: Final = timedelta(seconds=10)

_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "journal_size_limit=67108864",
    "temp_store=MEMORY",  # what is sorted is a small part of the queue; nothing of it in files outside TRIPOST_HOME
)
_READ_ONLY: Final = "tripost_read_only"
_PRIMARY: Final = 0xFF  # of SQLite's result codes; the rest of an extended one says more of it
_STICKS: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


def open_engine(url: str) -> AsyncEngine:
    """Make the engine for a URL; connects on first use only. Raises SettingsError.

    A transaction on SQLite takes the write lock when it begins, waiting for another's up to LOCK_WITHIN: one that read
    first could not upgrade while another process writes. What only reads takes `read_only(engine)`.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite+aiosqlite":
        return _open_sqlite(parsed)
    return _open_postgresql(parsed)


def read_only(engine: AsyncEngine) -> AsyncEngine:
    """Give the engine, its connections shared, for transactions that only read: none waits for a writer."""
    return engine.execution_options(**{_READ_ONLY: True, "postgresql_readonly": True})


def parse_url(url: str) -> URL:
    """Check a database URL, `postgresql://` taken for `postgresql+asyncpg://`; raises SettingsError."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("TRIPOST_DATABASE_URL is no database URL") from None  # its text would hold the password
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+asyncpg")
    if parsed.drivername not in ACCEPTED:
        raise SettingsError(f"TRIPOST_DATABASE_URL: {parsed.drivername!r} is not one of {', '.join(ACCEPTED)}")
    return parsed


def _open_postgresql(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        hide_parameters=True,  # they may be secrets, and errors go into the log
        pool_size=10,
        max_overflow=5,
        pool_timeout=CONNECT_WITHIN.total_seconds(),
        pool_pre_ping=True,  # a restarted server costs a new connection, not a failed statement
        pool_recycle=1800,
        json_serializer=_json_text,
        json_deserializer=msgspec.json.decode,  # noqa: TID251 (text that the database holds to be UTF-8)
        connect_args={
            "timeout": CONNECT_WITHIN.total_seconds(),
            "command_timeout": STATEMENT_WITHIN.total_seconds() + 2,  # the server's own limit speaks first
            "server_settings": {
                "application_name": "tripost",
                "statement_timeout": _milliseconds(STATEMENT_WITHIN),
                "lock_timeout": _milliseconds(LOCK_WITHIN),
                "idle_in_transaction_session_timeout": _milliseconds(timedelta(seconds=60)),
            },
        },
    )


def _open_sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        hide_parameters=True,
        json_serializer=_json_text,
        json_deserializer=msgspec.json.decode,  # noqa: TID251 (text that the database holds to be UTF-8)
        # isolation_level None: the driver begins no transaction by itself, _begin does
        connect_args={"timeout": LOCK_WITHIN.total_seconds(), "isolation_level": None},
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "handle_error", _give_up_connections)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    give_to_sqlite(connection)
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _give_up_connections(context: ExceptionContext) -> None:
    """Have all connections made anew: what was in their way when they were opened stays so for them alone."""
    code = getattr(context.original_exception, "sqlite_errorcode", sqlite3.SQLITE_OK)
    if code & _PRIMARY in _STICKS:
        context.is_disconnect = True


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _milliseconds(duration: timedelta) -> str:
    return str(int(duration.total_seconds() * 1000))
