"""An engine lives through the death of its PostgreSQL."""

import pytest
from sqlalchemy import text

from postgres_server import PostgresServer
from tripost_shared.database.engine import open_engine
from tripost_shared.database.transactions import DatabaseUnavailable, reading, writing


async def test_a_killed_server_is_unavailable_and_then_used_again_with_what_was_committed(
    own_postgres: PostgresServer,
) -> None:
    engine = open_engine(own_postgres.url("postgres"))
    async with writing(engine) as connection:
        await connection.execute(text("CREATE TABLE kept (number integer)"))
        await connection.execute(text("INSERT INTO kept VALUES (1)"))

    async def read_while_it_is_killed() -> None:
        async with reading(engine) as connection:
            await connection.execute(text("SELECT 1"))
            own_postgres.kill()
            await connection.execute(text("SELECT 1"))

    async def read() -> None:
        async with reading(engine) as connection:
            await connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        await read_while_it_is_killed()
    with pytest.raises(DatabaseUnavailable):
        await read()

    own_postgres.start()
    async with reading(engine) as connection:
        assert (await connection.execute(text("SELECT number FROM kept"))).scalars().all() == [1]
    await engine.dispose()


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres_url: str) -> None:
    """The limit is this engine's own; the test sets a shorter one the same way."""
    engine = open_engine(postgres_url)
    async with reading(engine) as connection:
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar_one() == "15s"

    async def take_too_long() -> None:
        async with writing(engine) as connection:
            await connection.execute(text("SET LOCAL statement_timeout = '50ms'"))
            await connection.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(DatabaseUnavailable, match="timeout"):
        await take_too_long()
    await engine.dispose()
