"""How a database would go about a statement, by its own account."""

from sqlalchemy import ClauseElement
from sqlalchemy.ext.asyncio import AsyncEngine

from tripost_shared.database.transactions import reading


async def plan_of(engine: AsyncEngine, statement: ClauseElement) -> str:
    """Give the plan as text, one step a line."""
    explain = "EXPLAIN" if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    compiled = statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
    async with reading(engine) as connection:
        rows = (await connection.exec_driver_sql(f"{explain} {compiled}")).all()
    return "\n".join(str(row[-1]) for row in rows)
