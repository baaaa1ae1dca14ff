"""Pieces of work that share transactions: alike on SQLite and PostgreSQL but for how many commits they cost."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_shared.database import engine as engine_module
from tripost_shared.database.engine import open_engine
from tripost_shared.database.grouped import MOST_TOGETHER, GroupedWrites
from tripost_shared.database.models import Domain
from tripost_shared.database.transactions import DatabaseUnavailable, reading

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def adding(name: str) -> Callable[[AsyncConnection], Awaitable[str]]:
    async def work(connection: AsyncConnection) -> str:
        await connection.execute(insert(Domain).values(name=name, created_at=NOW))
        return name

    return work


async def domains(database: AsyncEngine) -> int:
    async with reading(database) as connection:
        return await connection.scalar(select(func.count()).select_from(Domain)) or 0


async def test_each_gets_its_answer_once_it_is_committed(database: AsyncEngine) -> None:
    writes = GroupedWrites(database)
    names = [f"d{number}.example" for number in range(2 * MOST_TOGETHER)]
    assert await asyncio.gather(*(writes.run(adding(name)) for name in names)) == names
    assert await domains(database) == len(names)


async def test_what_comes_together_costs_sqlite_few_commits(sqlite_url: str) -> None:
    database = open_engine(sqlite_url)
    commits: list[object] = []
    event.listen(database.sync_engine, "commit", commits.append)
    writes = GroupedWrites(database)
    await asyncio.gather(*(writes.run(adding(f"d{number}.example")) for number in range(2 * MOST_TOGETHER + 1)))
    assert len(commits) == 3
    await database.dispose()


async def test_who_breaks_a_transaction_fails_alone(database: AsyncEngine) -> None:
    writes = GroupedWrites(database)
    await writes.run(adding("there.example"))
    names = ["first.example", "there.example", "last.example"]
    first, refused, last = await asyncio.gather(*(writes.run(adding(name)) for name in names), return_exceptions=True)
    assert (first, last) == ("first.example", "last.example")
    assert isinstance(refused, IntegrityError)
    assert await domains(database) == 3


async def test_all_fail_with_the_database_and_may_ask_again(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "LOCK_WITHIN", engine_module.LOCK_WITHIN / 100)
    database = open_engine(sqlite_url)
    writes = GroupedWrites(database)
    names = [f"d{number}.example" for number in range(MOST_TOGETHER + 1)]
    other = sqlite3.connect(sqlite_url.partition("///")[2], isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    failures = await asyncio.gather(*(writes.run(adding(name)) for name in names), return_exceptions=True)
    other.rollback()
    other.close()
    assert {type(failure) for failure in failures} == {DatabaseUnavailable}
    assert await asyncio.gather(*(writes.run(adding(name)) for name in names)) == names
    await database.dispose()


async def test_others_get_theirs_although_one_who_waits_with_them_is_cancelled(sqlite_url: str) -> None:
    database = open_engine(sqlite_url)
    writes = GroupedWrites(database)
    cut, other = (asyncio.create_task(writes.run(adding(name))) for name in ("cut.example", "other.example"))
    await asyncio.sleep(0)
    cut.cancel()
    assert await other == "other.example"
    assert cut.cancelled()
    assert await domains(database) == 2
    await database.dispose()
