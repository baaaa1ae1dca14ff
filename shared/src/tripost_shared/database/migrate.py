"""Bringing a database's schema up to this release; safe when several services start at once.

PostgreSQL: an advisory lock, then one transaction for all migrations. SQLite: one transaction that holds the write lock
from its begin. A schema that is newer than this release (another replica has been upgraded already) is left as it is.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final, NoReturn

import structlog
from pydantic import ValidationError
from sqlalchemy import URL, Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tripost_shared import logs, privileges
from tripost_shared.database.engine import CONNECT_WITHIN, parse_url
from tripost_shared.database.migrations import NEWEST
from tripost_shared.database.transactions import DatabaseUnavailable, translated_failures
from tripost_shared.settings import CommonSettings, DatabaseSettings, SettingsError, explain

log = structlog.get_logger()

LOCK_WITHIN: Final = timedelta(minutes=2)  # another service's migration may rewrite a large table
JOB_WAITS: Final = timedelta(minutes=1)
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0
_LOCK_KEY: Final = 0x7472_6970_6F73_74  # "tripost"


async def upgrade(url: str) -> str:
    """Bring the schema to the newest revision that this release knows; gives the revision it has then.

    Raises DatabaseUnavailable (nothing has changed; try again) and SettingsError.
    """
    parsed = parse_url(url)
    async with translated_failures(), _locked(parsed) as connection:
        return await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> str:
    if _present_revision(connection) == NEWEST:
        return NEWEST
    # Alembic is 15 MB and 0.1 s, and a service seldom starts on a schema that is not up to date.
    from tripost_shared.database.alembic_run import migrate  # noqa: PLC0415

    return migrate(connection)


def _present_revision(connection: Connection) -> str | None:
    """Read what Alembic has noted; None in a database that is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


@contextlib.asynccontextmanager
async def _locked(url: URL) -> AsyncIterator[AsyncConnection]:
    if url.drivername.startswith("sqlite"):
        async with _locked_sqlite(url) as connection:
            yield connection
        return
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_WITHIN.total_seconds()})
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL lock_timeout = {int(LOCK_WITHIN.total_seconds() * 1000)}"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            yield connection
    finally:
        await engine.dispose()


@contextlib.asynccontextmanager
async def _locked_sqlite(url: URL) -> AsyncIterator[AsyncConnection]:
    """Foreign keys stay off (SQLite's default): altering a table drops the old copy, which would cascade."""
    if url.database:
        _create_private(url.database)
    engine = create_async_engine(
        url,
        poolclass=NullPool,
        connect_args={"timeout": LOCK_WITHIN.total_seconds(), "isolation_level": None},
    )
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            await connection.commit()
    finally:
        await engine.dispose()


def _create_private(path: str) -> None:
    """Make the file, for its owner's eyes only: it holds password hashes. SQLite gives its side files the same mode."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


async def upgrade_when_there(url: str, within: timedelta | None = None) -> str:
    """As `upgrade`, waiting until the database can be used, for ever or, if a time is given, so long.

    Raises DatabaseUnavailable after that time.
    """
    loop = asyncio.get_running_loop()
    give_up_at = None if within is None else loop.time() + within.total_seconds()
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await upgrade(url)
        except DatabaseUnavailable as failure:
            if give_up_at is not None and loop.time() + pause > give_up_at:
                raise
            log.warning("the database cannot be used yet", because=str(failure), again_in_seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def main() -> None:
    """Migrate once and exit: 0 done, 2 a setting is wrong, 3 the database could not be used for a minute."""
    try:
        settings = CommonSettings()
        logs.set_up("migrate", settings.log_level, settings.log_format)
        url = DatabaseSettings().url(settings.home)
        privileges.give_up_root(settings.run_user)
        revision = asyncio.run(upgrade_when_there(url, JOB_WAITS))
    except ValidationError as error:
        _end(2, explain(error))
    except SettingsError as error:
        _end(2, str(error))
    except DatabaseUnavailable as failure:
        _end(3, f"the database cannot be used: {failure}")
    log.info("the database schema is up to date", revision=revision)


def _end(status: int, because: str) -> NoReturn:
    print(f"tripost migrate: {because}", file=sys.stderr)  # noqa: T201 (the one line that its operator must read)
    sys.exit(status)
