"""How many transactions may go on at one time."""

import asyncio
from datetime import timedelta

import pytest

from tripost_domains.delivery.relay.gate import Gate, GateLimits, NoRoom
from tripost_domains.directory.model import HopKind, NextHop

SLOW, QUICK = NextHop(HopKind.MX, "slow.example"), NextHop(HopKind.MX, "quick.example")


async def hold(gate: Gate, hop: NextHop, until: asyncio.Event) -> None:
    async with gate.enter(hop):
        await until.wait()


async def test_a_slow_next_hop_does_not_stop_another() -> None:
    gate = Gate(GateLimits(active=3, active_per_hop=2))
    done, at_once = asyncio.Event(), asyncio.Event()
    at_once.set()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(hold(gate, SLOW, done))
        await asyncio.sleep(0)
        quick = group.create_task(hold(gate, QUICK, at_once))
        await asyncio.sleep(0)
        was_let_in = quick.done()
        done.set()
    assert was_let_in


async def test_those_who_wait_too_long_are_sent_to_the_queue() -> None:
    gate = Gate(GateLimits(active_per_hop=1, patience=timedelta(milliseconds=10)))
    async with gate.enter(SLOW):
        with pytest.raises(NoRoom):
            async with gate.enter(SLOW):
                pass


async def test_no_more_wait_than_there_is_room_for() -> None:
    gate = Gate(GateLimits(active_per_hop=1, waiting_per_hop=1, quick=timedelta(0)))
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(hold(gate, SLOW, done))
        await asyncio.sleep(0)
        with pytest.raises(NoRoom):
            async with gate.enter(SLOW):
                pass
        done.set()


async def test_a_next_hop_that_gets_on_may_have_more_than_its_share_wait() -> None:
    gate = Gate(GateLimits(active_per_hop=2, waiting=3, waiting_per_hop=3))
    served = 0

    async def serve() -> None:
        nonlocal served
        async with gate.enter(QUICK):
            await asyncio.sleep(0.001)
            served += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(serve())
    assert served == 100


async def test_a_next_hop_that_hangs_gives_those_beyond_its_share_up_soon() -> None:
    gate = Gate(GateLimits(active_per_hop=1, waiting_per_hop=1, quick=timedelta(milliseconds=10)))
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(hold(gate, SLOW, done))
        await asyncio.sleep(0)
        for _ in range(2):  # timers may fire a little early
            with pytest.raises(NoRoom):
                async with asyncio.timeout(1), gate.enter(SLOW):
                    pass
        with pytest.raises(NoRoom, match="too many"):
            async with gate.enter(SLOW):
                pass
        done.set()


async def test_a_place_is_free_again_after_a_wait_was_given_up() -> None:
    gate = Gate(GateLimits(active=1, patience=timedelta(milliseconds=10)))
    async with gate.enter(SLOW):
        with pytest.raises(NoRoom):
            async with gate.enter(QUICK):
                pass
    async with asyncio.timeout(1), gate.enter(QUICK):
        pass
