"""Sessions with next hops serve several messages."""

from datetime import timedelta

import pytest

from next_hop import NextHop
from relay_world import RelayWorld
from tripost_domains.delivery.outcome import Result
from tripost_shared.clock import FrozenClock


async def test_the_next_message_goes_over_the_same_session(world: RelayWorld) -> None:
    async with NextHop() as hop:
        for _ in range(3):
            assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.connections == 1
        await hop.wait_until(lambda hop: "QUIT" in hop.commands)  # after three, as the world has it
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.connections == 2


async def test_a_refused_message_is_followed_by_rset(world: RelayWorld) -> None:
    async with NextHop(replies={"content": ["554 5.6.0 No", "250 Ok"]}) as hop:
        assert (await world.relay_one(hop)).result is Result.FAILED
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert (hop.connections, hop.commands.count("RSET")) == (1, 1)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param({"MAIL": ["250 Ok", "421 4.4.2 Idle for too long", "250 Ok"]}, id="421 at MAIL"),
        pytest.param({"RSET": "421 Bye", "content": ["450 Later", "250 Ok"]}, id="421 at RSET"),
    ],
)
async def test_a_session_that_has_ended_meanwhile_costs_nothing(
    world: RelayWorld, script: dict[str, list[str]]
) -> None:
    async with NextHop(replies=script) as hop:
        await world.relay_one(hop)
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.connections == 2


async def test_a_session_that_was_cut_while_idle_is_not_used(world: RelayWorld) -> None:
    async with NextHop() as hop:
        await world.relay_one(hop)
        hop.cut()
        assert (await world.relay_one(hop)).result is Result.RELAYED


async def test_sessions_are_closed_once_they_have_been_idle_for_long_enough(
    world: RelayWorld, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.pool, "_clock", clock)
    async with NextHop() as hop:
        for _ in range(2):
            await world.relay_one(hop)
            clock.advance(timedelta(seconds=9))
            await world.pool.close_idle()
        assert (hop.connections, hop.is_quiet) == (1, False)
        clock.advance(timedelta(seconds=1))
        await world.pool.close_idle()
        await hop.wait_until(lambda hop: hop.is_quiet)
        assert (hop.connections, hop.commands[-1]) == (1, "QUIT")


async def test_idle_sessions_are_ended_in_order_at_the_end(world: RelayWorld) -> None:
    async with NextHop() as hop:
        await world.relay_one(hop)
        await world.pool.close()
        await hop.wait_until(lambda hop: hop.is_quiet)
        assert hop.commands[-1] == "QUIT"
