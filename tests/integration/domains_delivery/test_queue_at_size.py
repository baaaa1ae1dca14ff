"""What a look at the queue costs does not grow with the queue."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import event, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from delivery_world import make_message
from queue_world import LEASE, MINUTE, NOW, a_deferral, add, claim
from tripost_domains.queue import due
from tripost_domains.queue.model import Share
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.queue.rows import delivery_row, message_row
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.database.transactions import writing
from tripost_shared.mail.content import Content

SHARE = Share(at_most=50, per_hop=20)
FEW, MANY = 500, 5000


class Steps:
    """Counts the instructions of SQLite's virtual machine, in hundreds."""

    def __init__(self) -> None:
        self.taken = 0

    def watch(self, connection: Any, _record: object) -> None:
        connection.run_async(lambda driver: driver.set_progress_handler(self._count, 100))

    def _count(self) -> int:
        self.taken += 1
        return 0


async def fill(database: AsyncEngine, next_hop: Callable[[int], str], numbers: range) -> None:
    """Queue deliveries that are due, a message each."""
    row = message_row(make_message("bob@other.example", received_at=NOW), Content(size_octets=1, stored=""))
    messages = [{**row, "id": f"m{number}", "content": f"m{number}"} for number in numbers]
    deliveries = [delivery_row(f"m{number}", a_deferral(next_hop=next_hop(number)), NOW) for number in numbers]
    async with writing(database) as connection:
        await connection.execute(insert(QueuedMessage), messages)
        await connection.execute(insert(QueuedDelivery), deliveries)


@pytest.fixture
async def counted(sqlite_url: str) -> AsyncIterator[tuple[AsyncEngine, Steps]]:
    database, steps = open_engine(sqlite_url), Steps()
    event.listen(database.sync_engine, "connect", steps.watch)
    yield database, steps
    await database.dispose()


@pytest.mark.parametrize("hops", [pytest.param(1, id="one next hop"), pytest.param(200, id="many next hops")])
@pytest.mark.parametrize("call", ["claim", "refers to"])
async def test_ten_times_as_many_rows_cost_about_the_same(
    counted: tuple[AsyncEngine, Steps], hops: int, call: str
) -> None:
    """The write lock was held while all due rows were sorted: 0.13 s at 100,000 rows."""
    database, steps = counted
    queue = QueueRepository(database, "first")

    async def cost() -> int:
        before = steps.taken
        if call == "claim":
            assert len(await claim(queue, share=SHARE)) == (20 if hops == 1 else 50)
        else:
            assert not await queue.refers_to("another")
        return steps.taken - before

    await fill(database, lambda number: f"d{number % hops}.example", range(FEW))
    with_few = await cost()
    await fill(database, lambda number: f"d{number % hops}.example", range(FEW, MANY))
    assert await cost() <= with_few * 2


async def test_a_look_that_finds_nothing_takes_no_write_lock(sqlite_url: str) -> None:
    database, statements = open_engine(sqlite_url), list[str]()
    queue = QueueRepository(database, "first")
    await add(queue, a_deferral(due_at=NOW + MINUTE))
    event.listen(database.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert await claim(queue) == []
    assert [each for each in statements if each.startswith("BEGIN")] == ["BEGIN"]
    assert len(statements) == 3
    assert await claim(queue, NOW + MINUTE) != []
    await database.dispose()


async def test_every_next_hop_has_its_turn_behind_one_with_more_than_is_read(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deliveries are due longest, and it takes none; and there are more next hops than are walked at one look."""
    monkeypatch.setattr(due, "OLDEST_READ", 5)
    monkeypatch.setattr(due, "HOPS_WALKED", 3)
    queue = QueueRepository(database, "first")
    await fill(database, lambda _: "dead.example", range(20))
    for number in range(10):
        await add(queue, a_deferral(f"user@d{number}.example", f"d{number}.example", NOW + MINUTE))
    share = Share(at_most=2, per_hop=2, busy={"dead.example": 2})
    claimed = [recipient for _ in range(8) for recipient in await claim(queue, NOW + LEASE, share)]
    assert sorted(claimed) == [f"user@d{number}.example" for number in range(10)]
