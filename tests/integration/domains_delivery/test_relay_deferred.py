"""A next hop fails: the message is tried elsewhere, or later."""

import asyncio

import pytest

from delivery_world import OCTETS, make_message
from next_hop import NextHop
from relay_world import BOB, BOTH_WAYS, RelayWorld
from tripost_domains.delivery.outcome import Result, Trial
from tripost_shared.clock import SystemClock
from tripost_shared.mail.content import Content


@BOTH_WAYS
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("way", ["drop_at", "silent_at"])
async def test_a_host_that_goes_or_falls_silent_is_a_deferral(
    world: RelayWorld, extensions: list[str], step: str, way: str
) -> None:
    async with NextHop(extensions=extensions, drop_at={step} if way == "drop_at" else (), silent_at={step}) as hop:
        outcome = await world.relay_one(hop)
    assert (outcome.result, outcome.reply.enhanced) == (Result.DEFERRED, "4.4.2")
    assert "duplicate" not in outcome.detail


async def test_what_is_no_smtp_is_a_deferral(world: RelayWorld) -> None:
    async with NextHop(replies={"greeting": "200 OK\nContent-Type: text/html"}) as hop:
        outcome = await world.relay_one(hop)
    assert outcome.result is Result.DEFERRED


async def test_nobody_listening_is_a_deferral(world: RelayWorld) -> None:
    async with NextHop() as hop:
        pass
    outcome = await world.relay_one(hop)
    assert (outcome.result, outcome.reply.enhanced) == (Result.DEFERRED, "4.4.1")
    assert "refused" in outcome.reply.text.lower()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param({"replies": {"greeting": "421 Busy"}}, id="busy"),
        pytest.param({"replies": {"greeting": "554 No"}}, id="refuses"),
        pytest.param({"drop_at": {"EHLO"}}, id="goes at EHLO"),
        pytest.param({"drop_at": {"DATA"}}, id="goes at DATA"),
    ],
)
async def test_the_next_host_is_tried(world: RelayWorld, script: dict[str, dict[str, str]]) -> None:
    async with NextHop(**script) as first, NextHop(host="127.0.0.2", port=first.port) as second:  # type: ignore[arg-type]  # a script of keywords
        outcome = await world.relay_by_mx(first, second)
        assert outcome.result is Result.RELAYED
        assert outcome.host == f"mx2.example[127.0.0.2]:{second.port}"
        assert len(second.taken) == 1


async def test_a_dead_host_is_remembered_for_new_messages_and_tried_by_the_queue(world: RelayWorld) -> None:
    async with NextHop(replies={"greeting": "421 Busy"}) as hop:
        for _ in range(2):
            assert (await world.relay_one(hop)).result is Result.DEFERRED
        assert hop.connections == 1
        hop.replies.clear()
        later = await world.relay(make_message(BOB), hop, trial=Trial(began_at=SystemClock().monotonic()))
        assert later[BOB].result is Result.RELAYED
        assert (await world.relay_one(hop)).result is Result.RELAYED


async def test_content_that_breaks_off_never_ends_as_a_message(world: RelayWorld) -> None:
    stored = world.store.put("x", OCTETS)
    content = Content(size_octets=stored.size_octets + 1, stored="x")
    async with NextHop() as hop:
        outcome = (await world.relay(make_message(BOB, content=content), hop))[BOB]
        await hop.wait_until(lambda hop: hop.is_quiet)
        assert hop.taken == []
    assert outcome.result is Result.DEFERRED


async def test_a_dead_next_hop_does_not_slow_another(world: RelayWorld) -> None:
    async with NextHop(silent_at={"greeting"}) as dead, NextHop() as alive:
        stuck = asyncio.create_task(world.relay_one(dead))
        await dead.wait_until(lambda hop: hop.connections == 1)
        assert (await world.relay_one(alive)).result is Result.RELAYED
        assert not stuck.done()
        assert (await stuck).result is Result.DEFERRED
