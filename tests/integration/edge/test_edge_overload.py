"""An overloaded worker turns new clients away and goes on with those that it has, through real sockets."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from edge_process import until
from edge_world import EdgeWorld
from tripost_edge.limits.load import MemoryUse
from tripost_shared.contracts.config import EdgeConfig

Start = Callable[..., Awaitable[EdgeWorld]]
REFUSED = "S: 421 4.3.2 Service is overloaded, please try again later\nS: <closed>"


async def test_without_memory_new_clients_hear_421_and_sessions_go_on_until_there_is_room(running: Start) -> None:
    use = [MemoryUse(used=50, bound=100)]
    world = await running(memory_in_use=lambda: use[-1])
    async with await world.greeted() as before:
        use.append(MemoryUse(used=95, bound=100))
        await until(lambda: world.edge.load.is_overloaded)
        assert list(world.edge.troubles()) == ["new clients are turned away: 95 % of the memory is in use (0 MiB)"]
        async with await world.dialog() as client:
            await client(REFUSED)
        await before("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *")
        await before("C: x\nC: .\nS: 250 2.0.0 *")
        use.append(MemoryUse(used=84, bound=100))
        await until(lambda: not world.edge.load.is_overloaded)
    async with await world.dialog() as client:
        await client("S: 220 *")
    assert list(world.edge.troubles()) == []


async def test_a_loop_that_does_not_keep_up_is_seen_and_a_limit_is_changed_live(running: Start) -> None:
    world = await running()
    world.edge.take_config(EdgeConfig(revision=1, limits={"shed_lag_seconds": 0.05}))
    while not world.edge.load.is_overloaded:
        time.sleep(0.15)  # noqa: ASYNC251 (it is to hold the loop up)
        await asyncio.sleep(0)
    async with await world.dialog() as client:
        await client(REFUSED)
    world.edge.take_config(EdgeConfig(revision=2, limits={"shed_lag_seconds": 0}))
    await until(lambda: not world.edge.load.is_overloaded)
    async with await world.dialog() as client:
        await client("S: 220 *")
