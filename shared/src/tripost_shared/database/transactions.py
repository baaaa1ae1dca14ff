"""Transactions whose failures are told apart: the database is away or busy, or the statement is wrong."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_shared.database.engine import read_only

# Classes of SQLSTATE that say nothing about the statement: no connection, log-in refused, no such database, transaction
# rolled back (deadlock), out of resources, operator intervention (shutdown, time-out), system error.
PASSING_CLASSES: Final = frozenset({"08", "28", "3D", "40", "53", "57", "58"})
PASSING_STATES: Final = frozenset({"55P03", "25006"})  # lock not available; a read-only standby after a fail-over

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
    """The database is away or busy: the same again may work later. Nothing of the transaction was written."""


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
        raise DatabaseUnavailable(_reason(error)) from error


def is_passing(error: BaseException) -> bool:
    """Tell whether the failure lies with the database's present state, so that trying again later may help."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        return is_passing(error.driver_exception)
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in PASSING_CLASSES or state in PASSING_STATES
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # a ValueError is about the statement's arguments
    return isinstance(error, PoolTimeout | sqlite3.OperationalError | OSError | TimeoutError)


def _reason(error: Exception) -> str:
    """Say in one line what happened, without statement and parameters, which may hold personal data."""
    told = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(told).__name__}: {str(told).splitlines()[0] if str(told) else 'no details'}"[:200]
