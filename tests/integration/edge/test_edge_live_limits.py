"""Limits that the configuration replaces hold at once, in sessions that are open too."""

from edge_world import EdgeWorld
from tripost_shared.contracts.config import EdgeConfig


async def test_an_open_session_meets_the_new_limit_and_the_default_comes_back(world: EdgeWorld) -> None:
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<> SIZE=100000\nS: 250 *\nC: RSET\nS: 250 *")
        world.edge.take_config(EdgeConfig(revision=1, limits={"size_limit_octets": 70_000}))
        await client(
            "C: MAIL FROM:<> SIZE=100000\nS: 552 5.3.4 *\nC: EHLO c\nS: 250-mx*\nS: 250-PIPELINING\nS: 250-SIZE 70000"
        )
        world.edge.take_config(EdgeConfig(revision=2))
        await client("C: RSET\nS: 250 *\nC: MAIL FROM:<> SIZE=100000\nS: 250 *")


async def test_fewer_sessions_are_taken_from_then_on(world: EdgeWorld) -> None:
    async with await world.greeted():
        world.edge.take_config(EdgeConfig(revision=1, limits={"sessions_limit": 1}))
        async with await world.dialog() as second:
            await second("S: 421 4.3.2 *\nS: <closed>")


async def test_what_cannot_be_used_is_left_out_and_the_rest_holds(world: EdgeWorld) -> None:
    limits: dict[str, int | float] = {"size_limit_octets": -1, "no_such_limit": 1, "errors_per_session": 1}
    world.edge.take_config(EdgeConfig(revision=1, limits=limits))
    async with await world.dialog() as client:
        await client("S: 220 *\nC: FOO\nS: 500 *\nC: FOO\nS: 500 *\nS: 421 4.7.0 Too many errors*\nS: <closed>")
