"""The engine: PostgreSQL (asyncpg) in production, SQLite (aiosqlite, WAL) embedded."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tripost_shared.settings import SettingsError

ACCEPTED = ("postgresql+asyncpg", "sqlite+aiosqlite")


def open_engine(url: str) -> AsyncEngine:
    """Make the engine for a URL; connects on first use only. Raises SettingsError."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise SettingsError("TRIPOST_DATABASE_URL is no database URL") from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+asyncpg")
    if parsed.drivername not in ACCEPTED:
        raise SettingsError(f"TRIPOST_DATABASE_URL: {parsed.drivername!r} is not one of {', '.join(ACCEPTED)}")
    if parsed.drivername == "postgresql+asyncpg":
        return create_async_engine(parsed, pool_size=10, max_overflow=5, pool_pre_ping=True, pool_timeout=5)
    engine = create_async_engine(parsed, connect_args={"timeout": 10})
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin_immediately)
    return engine


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # so that the driver begins no transaction by itself; see _begin_immediately
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediately(connection: Any) -> None:
    """Take the write lock at once: a transaction that reads first could not upgrade while another process writes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
