"""Both databases fold addresses as Python does, whatever the locale: the one of the tests' PostgreSQL is C."""

import pytest
from sqlalchemy import bindparam, null, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tripost_shared.database.folding import folded_column
from tripost_shared.database.transactions import reading, writing
from tripost_shared.mail.address import folded


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Ann+X@dest.example", id="ASCII"),
        pytest.param("\u00c9VE@dest.example", id="a capital with its accent"),
        pytest.param("E\u0301ve@dest.example", id="a capital and its accent"),
        pytest.param("\u0130@dest.example", id="a letter that becomes two"),
        pytest.param("\u212aelvin@dest.example", id="a letter that becomes one of ASCII"),
        pytest.param("\u039f\u0394\u039f\u03a3@dest.example", id="a sigma at the end of a word"),
        pytest.param("\u0416\u0425@dest.example", id="Cyrillic"),
        pytest.param("\U00010400@dest.example", id="beyond the first plane"),
        pytest.param("\u6f22@dest.example", id="letters that have no case"),
    ],
)
async def test_text_is_folded_alike_by_python_and_by_the_database(database: AsyncEngine, text: str) -> None:
    """Each connection knows how, one that only reads and one that writes."""
    statement = select(folded_column(bindparam("text", text)))
    for transaction in (reading, writing):
        async with transaction(database) as connection:
            assert await connection.scalar(statement) == folded(text)


async def test_what_is_null_stays_so(database: AsyncEngine) -> None:
    async with reading(database) as connection:
        assert await connection.scalar(select(folded_column(null()))) is None
