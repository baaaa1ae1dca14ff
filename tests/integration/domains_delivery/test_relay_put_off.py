"""A mail host says "later" before it gets the content: the next one of the domain is asked (RFC 5321 §5.1)."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from delivery_world import make_message
from next_hop import NextHop
from relay_world import BOB, BOTH_WAYS, EVE, RelayWorld
from tripost_domains.delivery.outcome import Result, Trial
from tripost_domains.delivery.relay.session import Patience

LATER = "452 4.3.1 Disk full"


def only(recipient: str, reply: str) -> Callable[[str], str]:
    """A script for RCPT: that reply to one, and the others are taken."""
    return lambda argument: reply if recipient in argument else "250 2.1.5 Ok"


@BOTH_WAYS
@pytest.mark.parametrize("reply", [LATER, "421 4.3.2 Closing"])
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_the_next_host_takes_it(world: RelayWorld, extensions: list[str], step: str, reply: str) -> None:
    async with (
        NextHop(replies={step: reply}, extensions=extensions) as first,
        NextHop(host="127.0.0.2", port=first.port) as second,
    ):
        outcome = await world.relay_by_mx(first, second)
        assert (outcome.result, outcome.remote_mta) == (Result.RELAYED, "mx2.example")
        assert (len(first.taken), len(second.taken)) == (0, 1)


@BOTH_WAYS
async def test_each_recipient_goes_to_the_first_host_that_takes_it(world: RelayWorld, extensions: list[str]) -> None:
    async with (
        NextHop(replies={"RCPT": only(EVE, LATER)}, extensions=extensions) as first,
        NextHop(host="127.0.0.2", port=first.port, extensions=extensions) as second,
    ):
        outcomes = await world.relay_all_by_mx(make_message(BOB, EVE), first, second)
        assert {outcome.result for outcome in outcomes.values()} == {Result.RELAYED}
        assert [hop.taken[0].recipients for hop in (first, second)] == [[BOB], [EVE]]


async def test_the_next_host_may_refuse_for_good(world: RelayWorld) -> None:
    async with (
        NextHop(replies={"RCPT": LATER}) as first,
        NextHop(replies={"RCPT": "550 5.1.1 No such user"}, host="127.0.0.2", port=first.port) as second,
    ):
        outcome = await world.relay_by_mx(first, second)
        assert (outcome.result, outcome.remote_mta) == (Result.FAILED, "mx2.example")


async def test_two_hosts_are_heard_and_the_last_word_counts(world: RelayWorld) -> None:
    async with (
        NextHop(replies={"RCPT": LATER}) as first,
        NextHop(replies={"RCPT": "450 4.7.1 Greylisted"}, host="127.0.0.2", port=first.port) as second,
        NextHop(host="127.0.0.3", port=first.port) as third,
    ):
        outcome = await world.relay_by_mx(first, second, third)
        assert (outcome.result, str(outcome.reply)) == (Result.DEFERRED, "450 4.7.1 Greylisted")
        assert third.connections == 0


async def test_what_a_host_said_is_told_rather_than_that_the_next_one_is_not_there(world: RelayWorld) -> None:
    async with NextHop(replies={"RCPT": LATER}) as first:
        async with NextHop(host="127.0.0.2", port=first.port) as second:
            pass
        outcome = await world.relay_by_mx(first, second)
    assert (outcome.result, str(outcome.reply), outcome.remote_mta) == (Result.DEFERRED, LATER, "mx1.example")


@pytest.mark.parametrize(
    "script", [{"extensions": ["SIZE 10"]}, {"replies": {"greeting": "521 No mail here"}}], ids=str
)
async def test_a_host_that_cannot_take_the_message_fails_nothing_that_a_better_one_put_off(
    world: RelayWorld, script: dict[str, list[str]]
) -> None:
    """The first one takes a message of this size, once its disk has room again."""
    async with (
        NextHop(replies={"RCPT": LATER}) as first,
        NextHop(host="127.0.0.2", port=first.port, **script) as second,  # type: ignore[arg-type]
    ):
        outcome = await world.relay_by_mx(first, second)
        assert second.connections == 1
    assert (outcome.result, str(outcome.reply)) == (Result.DEFERRED, LATER)


async def test_the_next_host_is_given_up_in_time_although_the_first_had_the_message_for_some() -> None:
    world = RelayWorld(Patience())
    async with (
        NextHop(replies={"RCPT": only(EVE, LATER)}) as first,
        NextHop(silent_at={"greeting"}, host="127.0.0.2", port=first.port) as second,
        asyncio.timeout(10),
    ):
        trial = Trial(within=timedelta(seconds=0.3))
        outcomes = await world.relay_all_by_mx(make_message(BOB, EVE), first, second, trial=trial)
        await world.pool.close()
    assert (outcomes[BOB].result, str(outcomes[EVE].reply)) == (Result.RELAYED, LATER)


async def test_a_reply_to_the_content_is_taken_nowhere_else(world: RelayWorld) -> None:
    """The message was handed over; the queue sends it once more."""
    async with (
        NextHop(replies={"content": "451 4.3.0 Later"}) as first,
        NextHop(host="127.0.0.2", port=first.port) as second,
    ):
        assert (await world.relay_by_mx(first, second)).result is Result.DEFERRED
        assert second.connections == 0
