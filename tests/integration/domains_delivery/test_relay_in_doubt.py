"""What has been decided stays so, and what cannot be known is said."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from delivery_world import OCTETS, make_message
from next_hop import NextHop
from relay_world import BOB, EVE, RelayWorld
from tripost_domains.delivery.outcome import Result
from tripost_domains.delivery.relay.host import Host
from tripost_domains.directory.model import NextHop as Hop
from tripost_shared.mail.content import Content


@pytest.mark.parametrize("way", ["drop_at", "silent_at"])
async def test_a_lost_250_is_a_deferral_that_names_the_uncertainty(world: RelayWorld, way: str) -> None:
    async with NextHop(drop_at={"content"} if way == "drop_at" else (), silent_at={"content"}) as hop:
        outcome = await world.relay_one(hop)
        assert len(hop.taken) == 1
    assert outcome.result is Result.DEFERRED
    assert "duplicate" in outcome.detail


async def test_a_lost_250_is_not_tried_elsewhere(world: RelayWorld) -> None:
    """It would be a duplicate at once."""
    async with NextHop(drop_at={"content"}) as first, NextHop(host="127.0.0.2", port=first.port) as second:
        assert (await world.relay_by_mx(first, second)).result is Result.DEFERRED
        assert second.connections == 0


async def test_a_refusal_counts_although_the_host_hangs_up_while_we_still_write(world: RelayWorld) -> None:
    """The content and the final dot wait in our buffer; the host has said what it has to say."""
    content = Content.of(b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 500_000)
    async with NextHop(replies={"content": "552 5.3.4 Too much"}, reads_content=False) as hop:
        outcome = (await world.relay(make_message(BOB, content=content), hop))[BOB]
    assert (outcome.result, str(outcome.reply)) == (Result.FAILED, "552 5.3.4 Too much")


async def test_being_stopped_after_the_final_dot_is_said(world: RelayWorld) -> None:
    message = make_message(BOB)
    async with NextHop(silent_at={"content"}) as hop:
        relaying = asyncio.create_task(world.relay(message, hop))
        await hop.wait_until(lambda hop: bool(hop.taken))
        with capture_logs() as logs:
            relaying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await relaying
    (said,) = logs
    assert "may duplicate" in said["event"]
    assert (said["message_id"], said["recipients"]) == (message.id, [BOB])
    assert said["host"] == f"127.0.0.1[127.0.0.1]:{hop.port}"


async def test_being_stopped_before_the_final_dot_leaves_no_doubt(world: RelayWorld) -> None:
    async with NextHop(silent_at={"RCPT"}) as hop:
        relaying = asyncio.create_task(world.relay_one(hop))
        await hop.wait_until(lambda hop: bool(hop.transactions))
        with capture_logs() as logs:
            relaying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await relaying
        assert hop.taken == []
    assert logs == []


async def test_those_who_have_the_message_keep_it_when_what_follows_breaks(
    world: RelayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred go in one transaction; a mistake of ours in the next one must not send to the first ones again."""
    recipients = [f"user{number}@other.example" for number in range(150)]
    found = world.finder.find
    calls = 0

    async def find(hop: Hop) -> Sequence[Host]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RuntimeError
        return await found(hop)

    monkeypatch.setattr(world.finder, "find", find)
    async with NextHop() as hop:
        outcomes = await world.relay(make_message(*recipients), hop, *recipients)
        assert [len(transaction.recipients) for transaction in hop.taken] == [100]
    assert [outcomes[name].result for name in recipients] == [Result.RELAYED] * 100 + [Result.DEFERRED] * 50
    assert outcomes[recipients[-1]].reply.enhanced == "4.3.0"


async def test_a_refused_recipient_stays_refused_when_the_content_breaks_off(world: RelayWorld) -> None:
    stored = world.store.put("x", OCTETS)
    message = make_message(BOB, EVE, content=Content(size_octets=stored.size_octets + 1, stored="x"))
    async with NextHop(replies={"RCPT": ["550 5.1.1 No such user", "250 Ok"]}) as hop:
        outcomes = await world.relay(message, hop, BOB, EVE)
    assert (outcomes[BOB].result, outcomes[EVE].result) == (Result.FAILED, Result.DEFERRED)
