"""Small transactions that come close together and wait for the disk together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_shared.database.transactions import DatabaseUnavailable, writing

MOST_TOGETHER: Final = 64  # about 50 ms in which no other process can write

Answer = TypeVar("Answer")


class _Asked(NamedTuple):
    work: Callable[[AsyncConnection], Awaitable[Any]]
    answer: asyncio.Future[Any]


class GroupedWrites:
    """Runs pieces of work that each change the database as a whole, or not at all.

    On SQLite one writes at a time, and each commit is an fsync and a moment for other processes: what comes meanwhile
    shares the next transaction. PostgreSQL runs them side by side and has them share an fsync by itself.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: list[_Asked] = []
        self._writer: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """Do the work and commit it; raises DatabaseUnavailable, and what the work raises.

        It is done anew when another's has broken their transaction, so it is to do nothing but SQL. Who is cancelled
        while it waits has it done on SQLite nevertheless: the others' transaction goes on.
        """
        if self._engine.dialect.name != "sqlite":
            async with writing(self._engine) as connection:
                return await work(connection)
        asked = _Asked(work, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        answer: Answer = await asked.answer
        return answer

    async def _write(self) -> None:
        while self._waiting:
            together: list[_Asked] = []
            try:
                async with writing(self._engine) as connection:
                    together = self._next()  # when it is our turn: all who came while we waited for it
                    answers = [await asked.work(connection) for asked in together]
            except Exception as error:  # each asker says what it means
                if not together:
                    together, self._waiting = self._waiting, []
                await self._write_one_by_one(together, error)
            else:
                for asked, answer in zip(together, answers, strict=True):
                    if not asked.answer.done():
                        asked.answer.set_result(answer)

    def _next(self) -> list[_Asked]:
        together, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        return together

    async def _write_one_by_one(self, together: Sequence[_Asked], error: Exception) -> None:
        """Let each fail by itself; a database that is away has failed them all."""
        if isinstance(error, DatabaseUnavailable) or len(together) == 1:
            for asked in together:
                _fail(asked, error)
            return
        for asked in together:
            try:
                async with writing(self._engine) as connection:
                    answer = await asked.work(connection)
            except Exception as its_own:  # as above
                _fail(asked, its_own)
            else:
                if not asked.answer.done():
                    asked.answer.set_result(answer)


def _fail(asked: _Asked, error: Exception) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)
