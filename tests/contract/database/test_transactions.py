"""Transactions behave alike on SQLite and PostgreSQL: who waits for whom, and which failures are whose."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from tripost_shared.database import engine as engine_module
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import ApiToken, ConfigRevision, Domain
from tripost_shared.database.transactions import DatabaseUnavailable, is_about_values, reading, writing

NOW = datetime(2026, 1, 1, tzinfo=UTC)

WRITER = """
import asyncio, sys
from sqlalchemy import update
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import ConfigRevision
from tripost_shared.database.transactions import writing

async def work():
    engine = open_engine(sys.argv[1])
    for _ in range(int(sys.argv[2])):
        async with writing(engine) as connection:
            await connection.execute(update(ConfigRevision).values(number=ConfigRevision.number + 1))
    await engine.dispose()

asyncio.run(work())
"""


@pytest.fixture
async def counted(database: AsyncEngine) -> AsyncEngine:
    """A database with one counter at 0."""
    async with writing(database) as connection:
        await connection.execute(insert(ConfigRevision).values(id=1, number=0, changed_at=NOW))
    return database


@pytest.fixture
async def impatient(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncEngine]:
    """A second engine on the same database that waits for a lock 0.2 s only."""
    monkeypatch.setattr(engine_module, "LOCK_WITHIN", timedelta(milliseconds=200))
    engine = open_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def damaged_sqlite_url(tmp_path: Path) -> str:
    path = tmp_path / "damaged.sqlite"
    path.write_bytes(b"no database" * 1000)
    return f"sqlite+aiosqlite:///{path}"


async def number_in(engine: AsyncEngine) -> int:
    async with reading(engine) as connection:
        return (await connection.execute(select(ConfigRevision.number))).scalar_one()


async def test_reading_waits_for_no_writer(counted: AsyncEngine) -> None:
    async with writing(counted) as connection:
        await connection.execute(update(ConfigRevision).values(number=7))
        async with asyncio.timeout(2):
            assert await number_in(counted) == 0
    assert await number_in(counted) == 7


async def test_a_transaction_that_raises_leaves_nothing(counted: AsyncEngine) -> None:
    async def change_and_raise() -> None:
        async with writing(counted) as connection:
            await connection.execute(update(ConfigRevision).values(number=7))
            raise LookupError

    with pytest.raises(LookupError):
        await change_and_raise()
    assert await number_in(counted) == 0


async def test_processes_that_write_at_once_all_succeed(counted: AsyncEngine, database_url: str) -> None:
    """The services domains and admin-api on one SQLite file."""
    writers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, database_url, "60", stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ends = await asyncio.gather(*(writer.communicate() for writer in writers))
    assert [writer.returncode for writer in writers] == [0, 0, 0], ends
    assert await number_in(counted) == 180


async def test_tasks_that_write_at_once_all_succeed(counted: AsyncEngine) -> None:
    async def add_one() -> None:
        async with writing(counted) as connection:
            await connection.execute(update(ConfigRevision).values(number=ConfigRevision.number + 1))

    await asyncio.gather(*(add_one() for _ in range(40)))
    assert await number_in(counted) == 40


async def test_a_lock_that_is_held_too_long_makes_the_database_unavailable(
    counted: AsyncEngine, impatient: AsyncEngine
) -> None:
    async with writing(counted) as connection:
        await connection.execute(update(ConfigRevision).values(number=7))
        with pytest.raises(DatabaseUnavailable):
            async with writing(impatient) as other:
                await other.execute(update(ConfigRevision).values(number=8))


async def test_a_writer_that_is_cancelled_while_it_waits_leaves_no_lock(counted: AsyncEngine) -> None:
    async def write_from(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:  # not by `writing`, whose own queue would be waited in
            await connection.execute(update(ConfigRevision).values(number=8))

    async with writing(counted) as connection:
        await connection.execute(update(ConfigRevision).values(number=7))
        waiting = asyncio.create_task(write_from(counted))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        waiting.cancel()
    await asyncio.wait({waiting}, timeout=8)
    async with asyncio.timeout(8):
        async with writing(counted) as connection:
            await connection.execute(update(ConfigRevision).values(number=9))
    assert await number_in(counted) == 9


async def test_a_violated_constraint_is_the_statements_fault(database: AsyncEngine) -> None:
    with pytest.raises(IntegrityError):
        async with writing(database) as connection:
            await connection.execute(insert(Domain), [{"name": "dest.example", "created_at": NOW}] * 2)


async def test_an_argument_of_the_wrong_type_is_the_statements_fault(database: AsyncEngine) -> None:
    with pytest.raises(DBAPIError):
        async with writing(database) as connection:
            await connection.execute(
                insert(ApiToken).values(name=["no text"], scope="read", token_sha256="0", created_at=NOW)
            )


async def test_a_number_that_is_too_large_is_the_statements_fault(database: AsyncEngine) -> None:
    """Waiting would not make it smaller, and whoever waits for it would wait for ever."""
    with pytest.raises((DBAPIError, OverflowError)) as caught:
        async with writing(database) as connection:
            await connection.execute(insert(ConfigRevision).values(id=1, number=2**63, changed_at=NOW))
    assert is_about_values(caught.value)


async def test_a_table_that_is_missing_makes_the_database_unavailable(counted: AsyncEngine) -> None:
    """A migration still to come, or a restored dump that is not complete: no statement is right or wrong by that."""
    async with writing(counted) as connection:
        await connection.execute(text("ALTER TABLE config_revision RENAME TO config_revision_away"))
    with pytest.raises(DatabaseUnavailable, match="config_revision"):
        await number_in(counted)
    async with writing(counted) as connection:
        await connection.execute(text("ALTER TABLE config_revision_away RENAME TO config_revision"))
    assert await number_in(counted) == 0


async def test_a_right_that_is_missing_makes_the_database_unavailable(postgres_url: str) -> None:
    engine = open_engine(postgres_url)

    async def write_without_rights() -> None:
        async with writing(engine) as connection:
            await connection.execute(text("SET LOCAL ROLE pg_monitor"))  # a role that every server has
            await connection.execute(update(ConfigRevision).values(number=7))

    with pytest.raises(DatabaseUnavailable, match="permission denied"):
        await write_without_rights()
    await engine.dispose()


async def test_a_schema_that_another_replica_changes_costs_one_more_try(postgres_url: str) -> None:
    """The server has a plan for the statement that is good no more (SQLSTATE 0A000)."""
    engine, other = open_engine(postgres_url), open_engine(postgres_url)
    wanted = text("SELECT * FROM domains")

    async def read() -> list[str]:
        async with reading(engine) as connection:
            return list((await connection.execute(wanted)).keys())

    assert "added" not in await read()
    async with writing(other) as connection:
        await connection.execute(text("ALTER TABLE domains ADD COLUMN added integer"))
    with pytest.raises(DatabaseUnavailable):
        await read()
    assert "added" in await read()
    await engine.dispose()
    await other.dispose()


async def test_a_sqlite_file_that_is_damaged_is_unavailable(damaged_sqlite_url: str) -> None:
    """It can be put back from a copy, and what waits is written then."""
    engine = open_engine(damaged_sqlite_url)
    with pytest.raises(DatabaseUnavailable, match="not a database"):
        await number_in(engine)
    await engine.dispose()


async def test_names_are_kept_and_compared_in_lower_case(database: AsyncEngine) -> None:
    async with writing(database) as connection:
        await connection.execute(insert(Domain).values(name="Dest.Example", created_at=NOW))
        found = select(Domain.name).where(Domain.name == "DEST.example")
        assert (await connection.execute(found)).scalar_one() == "dest.example"


async def test_times_come_back_in_utc(database: AsyncEngine) -> None:
    async with writing(database) as connection:
        await connection.execute(insert(Domain).values(name="dest.example", created_at=NOW))
        assert (await connection.execute(select(func.max(Domain.created_at)))).scalar_one() == NOW


async def test_a_file_that_could_not_be_written_for_a_while_is_written_again(tmp_path: Path) -> None:
    """A connection that was opened meanwhile stays read-only for good; `query_only` makes one such."""
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path}/db.sqlite")
    async with writing(engine) as connection:
        await connection.execute(text("CREATE TABLE seen (n INTEGER)"))
    async with reading(engine) as connection:
        await connection.execute(text("PRAGMA query_only=ON"))
    with pytest.raises(DatabaseUnavailable, match="readonly"):
        async with writing(engine) as connection:
            await connection.execute(text("INSERT INTO seen VALUES (1)"))
    async with writing(engine) as connection:
        await connection.execute(text("INSERT INTO seen VALUES (2)"))
    async with reading(engine) as connection:
        assert (await connection.execute(text("SELECT n FROM seen"))).scalars().all() == [2]
    await engine.dispose()


async def test_sqlite_is_on_the_disk_when_it_says_that_it_has_written(tmp_path: Path) -> None:
    """Its own default beside a write-ahead log (NORMAL) may lose the last transactions with the machine's power."""
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path}/db.sqlite")
    for opened in (reading, writing):
        async with opened(engine) as connection:
            assert (await connection.execute(text("PRAGMA synchronous"))).scalar_one() == 2
    await engine.dispose()


async def test_sqlite_sorts_in_memory_and_leaves_nothing_in_the_systems_folder(tmp_path: Path) -> None:
    """Its own default is a file in /var/tmp, which a service with a read-only root does not have."""
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path}/db.sqlite")
    async with reading(engine) as connection:
        assert (await connection.execute(text("PRAGMA temp_store"))).scalar_one() == 2
    await engine.dispose()
