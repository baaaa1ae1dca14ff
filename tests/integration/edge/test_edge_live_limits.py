"""Limits that the configuration replaces hold at once, in sessions that are open too."""

import pytest

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


@pytest.mark.parametrize(
    ("limits", "reply"),
    [
        pytest.param({"command_timeout_seconds": 0.1}, "421 4.4.2 Timed out*", id="command"),
        pytest.param({"session_seconds": 0.1}, "421 4.4.2 Session lasts too long*", id="session"),
    ],
)
async def test_an_open_session_is_granted_the_new_time_from_its_next_command_on(
    world: EdgeWorld, limits: dict[str, float], reply: str
) -> None:
    async with await world.greeted() as client:
        world.edge.take_config(EdgeConfig(revision=1, limits=dict(limits)))
        await client(f"C: NOOP\nS: 250 *\nS: {reply}\nS: <closed>")


async def test_the_content_of_an_open_session_has_the_new_time_and_rate(world: EdgeWorld) -> None:
    async with await world.greeted() as client:
        world.edge.take_config(
            EdgeConfig(revision=1, limits={"content_minimum_rate": 1000, "content_rate_grace_seconds": 0.1})
        )
        await client("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *")
        await client("C: Subject: x\nS: 421 4.4.2 Content arrives too slowly*\nS: <closed>")


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
