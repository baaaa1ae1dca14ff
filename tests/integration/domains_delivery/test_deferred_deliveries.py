"""What could not be done at once waits in the deferred queue."""

from datetime import timedelta

from sqlalchemy import func, select

from delivery_world import (
    BOB,
    OCTETS,
    TOP,
    Delivery,
    make_message,
    make_older,
    patient,
    queued,
    retry_now,
    route,
    until_queued,
)
from next_hop import NextHop
from tripost_shared.contracts.events import Fact
from tripost_shared.database.models import QueuedMessage
from tripost_shared.database.transactions import reading


async def test_a_next_hop_that_returns_gets_the_message(delivery: Delivery) -> None:
    async with NextHop() as hop:
        pass
    route(delivery, hop)
    message = make_message(BOB, "ann@dest.example")
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert await queued(delivery) == [BOB]
    assert len(delivery.files()) == 1
    async with hop:
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
        assert hop.taken[0].content == TOP + OCTETS
        await until_queued(delivery)
    assert (Fact.DEFERRED, BOB) in delivery.facts()
    assert delivery.facts()[-1] == (Fact.RELAYED, BOB)
    event = delivery.event(Fact.RELAYED)
    assert (event.message_id, event.stage) == (message.id, "queue")


async def test_only_the_deferred_recipient_is_tried_again(delivery: Delivery) -> None:
    answers = iter(["450 4.2.1 Busy"])

    def answer(argument: str) -> str:
        return next(answers, "250 Ok") if "bob" in argument else "250 Ok"

    async with NextHop(replies={"RCPT": answer}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB, "eve@other.example"))
        await hop.wait_until(lambda hop: len(hop.taken) == 2)
        assert [transaction.recipients for transaction in hop.taken] == [["eve@other.example"], [BOB]]


async def test_each_attempt_is_told_once(delivery: Delivery) -> None:
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await delivery.until(lambda: (Fact.RELAYED, BOB) in delivery.facts())
    assert [fact for fact, _ in delivery.facts()] == [Fact.DEFERRED, Fact.DEFERRED, Fact.RELAYED]
    assert len({event.id for event in delivery.events.events}) == 3


async def test_retry_now_is_followed_soon(delivery: Delivery) -> None:
    await patient(delivery)
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        await retry_now(delivery)
        await hop.wait_until(lambda hop: len(hop.taken) == 1, within=2)
    assert next(fact for fact, _ in delivery.facts()) == Fact.DEFERRED, "the first attempt had failed"


async def test_what_is_released_late_is_not_given_up_for_its_age(delivery: Delivery) -> None:
    """A release gives a new time to expire at, and the message is as old as it is."""
    await patient(delivery)
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
        route(delivery, hop)
        message = make_message(BOB)
        await delivery.spool.publish(message)
        await until_queued(delivery, BOB)
        await make_older(delivery, timedelta(days=20))
        await retry_now(delivery)
        await delivery.until(lambda: delivery.facts(message.id).count((Fact.DEFERRED, BOB)) == 2)
        await delivery.service.drain()
    assert await queued(delivery) == [BOB]


async def test_large_content_stays_where_it_is_until_all_is_done(delivery: Delivery) -> None:
    octets = b"Subject: large\r\n\r\n" + b"x" * 200_000 + b"\r\n"
    content = delivery.store.put("large", octets)
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB, content=content))
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
        assert hop.taken[0].content == TOP + octets


async def test_a_changed_route_counts_for_what_is_queued(delivery: Delivery) -> None:
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as old, NextHop() as new:
        route(delivery, old)
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        route(delivery, new)
        await new.wait_until(lambda hop: len(hop.taken) == 1)
        assert not old.taken


async def test_the_queue_is_empty_of_content_when_all_is_done(delivery: Delivery) -> None:
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
        await until_queued(delivery)
    async with reading(delivery.engine) as connection:
        assert await connection.scalar(select(func.count()).select_from(QueuedMessage)) == 0
