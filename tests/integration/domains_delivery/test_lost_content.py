"""The content store has a message's content no more: it was deleted after the last delivery, or it is lost."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from delivery_world import (
    BOB,
    OCTETS,
    Delivery,
    give_again,
    make_message,
    patient,
    queued,
    retry_now,
    route,
    until_queued,
)
from next_hop import NextHop
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.spool import SpooledMessage

ANN, SENDER = "ann@dest.example", "sender.example/ann"


@pytest.fixture
async def hop(delivery: Delivery) -> AsyncIterator[NextHop]:
    """A next hop that takes everything for BOB, and a sender who can be told."""
    delivery.records.add("mailbox ann@sender.example")
    async with NextHop() as hop:
        route(delivery, hop)
        yield hop


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    """The lines of the log."""
    with capture_logs() as lines:
        yield lines


def a_large_message(delivery: Delivery, *recipients: str) -> SpooledMessage:
    return make_message(*recipients, content=delivery.store.put("large", OCTETS))


async def test_what_was_settled_before_is_only_acknowledged(delivery: Delivery, hop: NextHop) -> None:
    """The acknowledgement was lost, and the content deleted since."""
    message = a_large_message(delivery, ANN, BOB)
    await delivery.spool.publish(message)
    await delivery.until_settled()
    told = delivery.facts()
    await delivery.store.delete("large")
    await give_again(delivery, message)
    await delivery.until_settled()
    assert delivery.facts() == told
    assert delivery.files(SENDER) == []


async def test_what_was_not_settled_before_fails_and_the_sender_is_told(delivery: Delivery, hop: NextHop) -> None:
    delivery.records.add(f"alias all@dest.example {ANN} {BOB}")
    message = a_large_message(delivery, "all@dest.example")
    await delivery.store.delete("large")
    await give_again(delivery, message)
    await delivery.until(lambda: len(delivery.files(SENDER)) == 1)
    failures = [told for told in delivery.facts(message.id) if told[0] is Fact.FAILED]
    assert failures == [(Fact.FAILED, ANN), (Fact.FAILED, BOB)]
    text = delivery.files(SENDER)[0].read_text()
    assert text.count("Status: 5.3.0") == 1
    assert "Final-Recipient: rfc822; all@dest.example" in text
    assert (await queued(delivery), hop.taken) == ([], [])


async def test_who_has_the_message_is_not_reported_with_who_has_not(delivery: Delivery, hop: NextHop) -> None:
    message = a_large_message(delivery, ANN, BOB)
    await delivery.store.delete("large")
    now = datetime.now(UTC)
    delivery.events.record(Event("one", message.id, now, Fact.DELIVERED, "domains", recipient=ANN))
    await give_again(delivery, message)
    await delivery.until(lambda: len(delivery.files(SENDER)) == 1)
    assert [told for told in delivery.facts(message.id) if told[0] is Fact.FAILED] == [(Fact.FAILED, BOB)]
    assert hop.taken == []


async def test_what_waits_in_the_queue_fails_without_the_next_hop_being_asked(delivery: Delivery) -> None:
    """It would be told of a message that never comes, again and again."""
    delivery.records.add("mailbox ann@sender.example")
    await patient(delivery)
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
        route(delivery, hop)
        message = make_message(BOB)
        await delivery.spool.publish(message)
        await until_queued(delivery, BOB)
        await delivery.store.delete(message.id)
        asked = len(hop.commands)
        await retry_now(delivery)
        await delivery.until(lambda: len(delivery.files(SENDER)) == 1)
        assert [command for command in hop.commands[asked:] if command != "QUIT"] == []
    assert "Status: 5.3.0" in delivery.files(SENDER)[0].read_text()
    await until_queued(delivery)


async def test_what_waits_in_the_queue_waits_for_a_store_that_is_away(delivery: Delivery) -> None:
    await patient(delivery)
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok", "250 Ok"]}) as hop:
        route(delivery, hop)
        message = make_message(BOB)
        await delivery.spool.publish(message)
        await until_queued(delivery, BOB)
        delivery.store.is_unavailable = True
        await retry_now(delivery)
        await delivery.until(lambda: delivery.facts(message.id) == [(Fact.DEFERRED, BOB)] * 2)
        assert await queued(delivery) == [BOB]


async def test_content_that_is_damaged_is_an_error_at_each_attempt(
    delivery: Delivery, hop: NextHop, log: list[EventDict]
) -> None:
    """It waits, since it may be another disk's copy that is read next; nobody else tells the operator."""
    await patient(delivery)
    message = a_large_message(delivery, ANN, BOB)
    delivery.store.put("large", OCTETS[:-1])
    await delivery.spool.publish(message)
    await until_queued(delivery, ANN, BOB)
    told = [line["because"] for line in log if (line["log_level"], line.get("message_id")) == ("error", message.id)]
    assert len(told) == 2
    assert all(because.startswith("ContentDamaged: ") for because in told)


async def test_a_store_that_is_away_is_no_error_of_each_attempt(
    delivery: Delivery, hop: NextHop, log: list[EventDict]
) -> None:
    await patient(delivery)
    message = a_large_message(delivery, ANN, BOB)
    delivery.store.is_unavailable = True
    await delivery.spool.publish(message)
    await until_queued(delivery, ANN, BOB)
    assert [line for line in log if line["log_level"] == "error"] == []
