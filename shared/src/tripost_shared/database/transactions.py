"""Transactions whose failures are told apart: the database cannot now, or it refuses the values it is given."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_shared.database.engine import read_only

# Classes of SQLSTATE that are about the values that a statement carries: cardinality, data, integrity, the condition of
# a view, limits of size and depth. All others are about the database's present state, which it leaves by itself or by
# its administrator's hand: a connection, a lock, a full disk, but also a right or a table that is missing (42) and a
# plan that a migration has made out of date (0A). Whatever it is, mail waits: all else we could do with it is worse.
ABOUT_VALUES: Final = frozenset({"21", "22", "23", "44", "54"})

BREATH_SECONDS: Final = 0.01  # between two writes of one process; another process polls for the lock every 1-100 ms


class _Writers:
    """The queue of a process' writers to one SQLite file."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._free_at = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for our turn, and leave other processes a moment in which the file is free."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._free_at - loop.time())
            try:
                yield
            finally:
                self._free_at = loop.time() + BREATH_SECONDS


_writers: WeakKeyDictionary[Engine, _Writers] = WeakKeyDictionary()


class DatabaseUnavailable(Exception):
    """The database is away, busy, or not as we need it: the same again may work later. Nothing was written."""


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Run a transaction that only reads; on SQLite it waits for no writer. Raises DatabaseUnavailable."""
    async with translated_failures(), read_only(engine).connect() as connection:
        yield connection


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Run a transaction and commit it at the end, or roll it back on an exception. Raises DatabaseUnavailable.

    On SQLite the process' writers queue here in order, since its own waiting is a poll that favours nobody.
    """
    async with translated_failures():
        if engine.dialect.name != "sqlite":
            async with engine.begin() as connection:
                yield connection
            return
        async with _writers.setdefault(engine.sync_engine, _Writers()).turn(), engine.begin() as connection:
            yield connection


@asynccontextmanager
async def translated_failures() -> AsyncIterator[None]:
    """Raise DatabaseUnavailable for what is the database's own failure; do only database work inside."""
    try:
        yield
    except Exception as error:
        if not is_passing(error):
            raise
        raise DatabaseUnavailable(reason_of(error)) from error


def is_passing(error: BaseException) -> bool:
    """Tell whether the failure lies with the database's present state, so that trying again later may help."""
    if isinstance(error, DBAPIError):
        cause = _driver_error(error)
        return cause is None or is_passing(cause)
    if isinstance(error, asyncpg.PostgresError):
        return not is_about_values(error)
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # a ValueError is about the statement's arguments
    if isinstance(error, sqlite3.DatabaseError):
        return not isinstance(error, sqlite3.ProgrammingError) and not is_about_values(error)
    return isinstance(error, PoolTimeout | OSError | TimeoutError)


def is_about_values(error: BaseException) -> bool:
    """Tell whether the database, or its driver, refuses the values of a statement: the same again fails again."""
    if isinstance(error, DBAPIError):
        cause = _driver_error(error)
        return cause is not None and is_about_values(cause)
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in ABOUT_VALUES
    if isinstance(error, StatementError):  # a value that cannot be turned into what the driver takes
        return isinstance(error.orig, ValueError | TypeError)
    # sqlite3 has no error of its own for a number of more than 64 bits, nor for text that is not Unicode.
    return isinstance(error, sqlite3.DataError | sqlite3.IntegrityError | OverflowError | UnicodeError)


def _driver_error(error: DBAPIError) -> BaseException | None:
    """Give what the driver raised; None when the connection or what is prepared in it is good no more.

    The latter (SQLSTATE 0A000, after another's migration) SQLAlchemy tells in words of its own, and prepares anew.
    """
    said_by_sqlalchemy = isinstance(error.orig, EmulatedDBAPIException) and error.orig.orig is None
    return None if error.connection_invalidated or said_by_sqlalchemy else error.driver_exception


def reason_of(error: Exception) -> str:
    """Say in one line what happened, without statement and parameters, which may hold personal data."""
    told = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(told).__name__}: {str(told).splitlines()[0] if str(told) else 'no details'}"[:200]
