"""How long an attempt may last, whatever the next hop does to draw it out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from delivery_world import make_message
from next_hop import NextHop
from relay_world import BOB, BOTH_WAYS, RelayWorld, smarthost
from tripost_domains.delivery.outcome import Outcome, Result, Trial
from tripost_domains.delivery.relay.gate import GateLimits
from tripost_domains.delivery.relay.session import Patience
from tripost_shared.dns.port import DnsAnswer

SOON = Trial(within=timedelta(seconds=0.2))
MUCH_LATER = 10  # seconds; far more than SOON, far less than the patience
MANY_LINES = 1000  # a reply that takes minutes to drip
PATIENT = Patience(connect=60, greeting=60, command=60, block=60, final=60)


@pytest.fixture
async def patient() -> AsyncIterator[RelayWorld]:
    """A relay agent that would wait for longer than a test may take; it lets one transaction in at a time."""
    world = RelayWorld(PATIENT, GateLimits(active=1))
    yield world
    await world.pool.close()


def is_out_of_time(outcome: Outcome) -> bool:
    return (
        outcome.result is Result.DEFERRED
        and outcome.was_tried
        and outcome.reply.enhanced == "4.4.1"
        and outcome.reply.text.endswith("timed out before the message was handed over")
    )


@BOTH_WAYS
@pytest.mark.parametrize("way", ["silent_at", "drips_at"])
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_next_hop_that_dawdles_is_given_up_in_time(
    patient: RelayWorld, extensions: list[str], way: str, step: str
) -> None:
    replies = {step: "250-still here\n" * MANY_LINES + "250 Ok"}
    hop = NextHop(
        replies=replies,
        extensions=extensions,
        silent_at={step} if way == "silent_at" else (),
        drips_at={step} if way == "drips_at" else (),
    )
    async with hop, asyncio.timeout(MUCH_LATER):
        outcome = await patient.relay_one(hop, trial=SOON)
        assert hop.taken == []
    assert is_out_of_time(outcome)
    assert f"127.0.0.1:{hop.port}" in outcome.reply.text


async def test_content_that_is_not_taken_is_given_up_in_time(patient: RelayWorld) -> None:
    content = patient.store.put("large", b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 500_000)
    async with NextHop(silent_at={"content"}, reads_content=False) as hop, asyncio.timeout(MUCH_LATER):
        outcomes = await patient.relay(make_message(BOB, content=content), hop, trial=SOON)
    assert is_out_of_time(outcomes[BOB])


async def test_names_that_are_not_found_in_time_count_as_well(
    patient: RelayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_name: str, _kind: str) -> DnsAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(patient.dns, "resolve", never)
    async with NextHop() as hop, asyncio.timeout(MUCH_LATER):
        assert is_out_of_time(await patient.relay_by_mx(hop, trial=SOON))


async def test_waiting_for_a_turn_counts_as_well(patient: RelayWorld) -> None:
    async with NextHop() as hop, asyncio.timeout(MUCH_LATER):
        async with patient.gate.enter(smarthost(hop)):
            outcome = await patient.relay_one(hop, trial=SOON)
        assert (outcome.result, outcome.reply.enhanced, outcome.was_tried) == (Result.DEFERRED, "4.4.5", False)
        assert hop.connections == 0
        assert (await patient.relay_one(hop, trial=SOON)).result is Result.RELAYED


async def test_the_hosts_of_a_next_hop_share_the_time(patient: RelayWorld) -> None:
    slow = {"greeting": "421-wait\n" * 3 + "421 Busy"}  # about 0.6 s
    trial = Trial(within=timedelta(seconds=1))
    async with (
        asyncio.timeout(MUCH_LATER),
        NextHop(replies=slow, drips_at={"greeting"}) as first,
        NextHop(host="127.0.0.2", port=first.port, silent_at={"greeting"}) as second,
    ):
        began = asyncio.get_running_loop().time()
        assert is_out_of_time(await patient.relay_by_mx(first, second, trial=trial))
        assert second.connections == 1
        assert asyncio.get_running_loop().time() - began < 1.5


async def test_recipients_of_a_transaction_that_was_in_time_have_the_message(patient: RelayWorld) -> None:
    recipients = [f"user{number}@other.example" for number in range(150)]
    replies = {"MAIL": ["250 Ok", "250-still here\n" * MANY_LINES + "250 Ok"]}
    async with NextHop(replies=replies, drips_at={"MAIL"}) as hop, asyncio.timeout(MUCH_LATER):
        trial = Trial(within=timedelta(seconds=1))
        outcomes = await patient.relay(make_message(*recipients), hop, *recipients, trial=trial)
    assert {outcomes[name].result for name in recipients[:100]} == {Result.RELAYED}
    assert all(is_out_of_time(outcomes[name]) for name in recipients[100:])


async def test_recipients_for_whom_no_time_is_left_were_not_tried(patient: RelayWorld) -> None:
    """The first hundred take it all by the reply to their content, so the queue has all attempts for the others."""
    recipients = [f"user{number}@other.example" for number in range(250)]
    async with NextHop(replies={"content": "250 2.0.0 Taken in the end"}, drips_at={"content"}) as hop:
        outcomes = await patient.relay(make_message(*recipients), hop, *recipients, trial=SOON)
        assert len(hop.transactions) == 1
    assert {outcomes[name].result for name in recipients[:100]} == {Result.RELAYED}
    rest = {(outcomes[name].result, outcomes[name].reply.enhanced) for name in recipients[100:]}
    assert rest == {(Result.DEFERRED, "4.4.5")}
    assert not any(outcomes[name].was_tried for name in recipients[100:])


async def test_after_the_final_dot_the_usual_patience_holds(patient: RelayWorld) -> None:
    """The host may have taken the message, and its 250 may be on the way."""
    async with NextHop(replies={"content": "250 2.0.0 Taken in the end"}, drips_at={"content"}) as hop:
        began = asyncio.get_running_loop().time()
        outcome = await patient.relay_one(hop, trial=SOON)
        assert asyncio.get_running_loop().time() - began > 0.3
    assert (outcome.result, outcome.reply.text) == (Result.RELAYED, "Taken in the end")


async def test_a_message_that_is_sent_once_more_has_the_time_that_is_left(patient: RelayWorld) -> None:
    """A session that was left open takes the content and says that it is closing."""
    replies = {
        "greeting": ["220 hop", "220-still here\n" * MANY_LINES + "220 hop"],
        "content": ["250 2.0.0 Taken", "421 4.3.2 Closing"],
    }
    async with NextHop(replies=replies, drips_at={"greeting"}) as hop, asyncio.timeout(MUCH_LATER):
        assert (await patient.relay_one(hop)).result is Result.RELAYED
        assert is_out_of_time(await patient.relay_one(hop, trial=SOON))
        assert (hop.connections, len(hop.transactions)) == (2, 2)


@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "content"])
async def test_a_reply_has_one_time_for_all_its_lines(world: RelayWorld, step: str) -> None:
    """Not one for each octet or line, which a host could give one by one for ever."""
    replies = {step: "250-still here\n" * MANY_LINES + "250 Ok"}
    async with NextHop(replies=replies, drips_at={step}) as hop, asyncio.timeout(MUCH_LATER):
        outcome = await world.relay_one(hop)
    assert (outcome.result, outcome.reply.enhanced) == (Result.DEFERRED, "4.4.2")
