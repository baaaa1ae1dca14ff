"""A stranger does not fill the tracking's disk with what it is refused."""

import ssl
from datetime import timedelta

import pytest

from edge_world import EdgeWorld, a_session
from tripost_edge.limits.told_refusals import SECONDS
from tripost_edge.stages.journal import THE_REST
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.events import Fact


@pytest.fixture
async def world(clock: FrozenClock) -> EdgeWorld:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return await EdgeWorld(tls, clock=clock, refusals_told_per_network=3).serve()


async def refused(world: EdgeWorld, count: int, **client: object) -> list[str]:
    """Let a client ask for so many recipients that do not exist; gives the details of the facts that were recorded."""
    before = len(world.facts(Fact.REFUSED))
    session = a_session(**client)
    await world.edge.context.stages.mail.take(session, f"FROM:<{session.client.login}>")
    recipients = [f"TO:<nobody{number}@dest.example>" for number in range(count)]
    replies = await world.edge.context.stages.rcpt.take(session, recipients)
    assert [reply.code for reply in replies] == [550] * count
    return [event.detail for event in world.facts(Fact.REFUSED)[before:]]


async def test_the_last_that_is_told_says_that_more_are_not(world: EdgeWorld) -> None:
    why = "recipient is unknown"
    assert await refused(world, 5) == [why, why, f"{why}; {THE_REST}"]
    assert await refused(world, 5) == []
    assert await refused(world, 2, address="192.0.2.8") == [why, why]


async def test_after_a_while_they_are_told_again(world: EdgeWorld, clock: FrozenClock) -> None:
    await refused(world, 5)
    clock.advance(timedelta(seconds=SECONDS))
    assert len(await refused(world, 2)) == 2


async def test_clients_of_ours_are_always_told(world: EdgeWorld) -> None:
    assert len(await refused(world, 9, login="user@dest.example")) == 9
