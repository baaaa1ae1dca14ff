"""Attempts from the deferred queue: none is made twice that went well, whoever claims it and wherever it leads."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from delivery_world import BOB, Delivery, make_message, patient, queued, retry_now, route, until_queued
from next_hop import NextHop
from tripost_domains.delivery.dispatch import Dispatcher
from tripost_domains.delivery.outcome import Attempted, deferred
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import DatabaseUnavailable, reading, writing
from tripost_shared.mail.envelope import Recipient


async def claimed(delivery: Delivery, by: str, until: datetime) -> None:
    """Let all deliveries be claimed."""
    async with writing(delivery.engine) as connection:
        values = {"state": DeliveryState.ATTEMPTING, "claimed_by": by, "claimed_until": until}
        await connection.execute(update(QueuedDelivery).values(**values))


class TestSeveralWaysToOneAddress:
    """Rows are claimed by next hop; since they came into the queue, one has become an alias that leads elsewhere."""

    async def test_an_address_with_a_delivery_of_its_own_gets_one(self, delivery: Delivery) -> None:
        await patient(delivery)
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok", "250 Ok"]}) as hop:
            async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as third:
                route(delivery, hop)
                route(delivery, third, "third.example")
                await delivery.spool.publish(make_message(BOB, "list@third.example"))
                await until_queued(delivery, BOB, "list@third.example")
            delivery.records.add(f"alias list@third.example {BOB}")
            await retry_now(delivery)
            await until_queued(delivery)
            assert [taken.recipients for taken in hop.taken] == [[BOB]]
        assert (Fact.EXPANDED, "list@third.example") in delivery.facts()

    async def test_an_address_that_two_lead_to_gets_one(self, delivery: Delivery) -> None:
        await patient(delivery)
        async with NextHop() as hop:
            async with (
                NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as third,
                NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as fourth,
            ):
                route(delivery, hop)
                route(delivery, third, "third.example")
                route(delivery, fourth, "fourth.example")
                await delivery.spool.publish(make_message("list@third.example", "list@fourth.example"))
                await until_queued(delivery, "list@third.example", "list@fourth.example")
            delivery.records.add(f"alias list@third.example {BOB}")
            delivery.records.add(f"alias list@fourth.example {BOB}")
            await retry_now(delivery)
            await until_queued(delivery)
            assert [taken.recipients for taken in hop.taken] == [[BOB]]


class TestAfterAnEnd:
    """A process has ended, in order or not, with claims in its name."""

    async def test_claims_of_a_dead_process_of_our_name_are_due_at_once(self, delivery: Delivery) -> None:
        """A container's process has the same host name and number after a restart."""
        await patient(delivery)
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB))
            await until_queued(delivery, BOB)
            await delivery.service.stop()
            await claimed(delivery, "test", datetime.now(UTC) + timedelta(minutes=1))
            delivery.service = delivery._joined()
            await delivery.service.start()
            await hop.wait_until(lambda hop: len(hop.taken) == 1)
            await until_queued(delivery)
            assert [taken.recipients for taken in hop.taken] == [[BOB]]

    async def test_what_went_well_and_was_not_settled_at_a_stop_is_not_made_again(
        self, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unavailable(*_: Any) -> str | None:
            raise DatabaseUnavailable("away")

        await patient(delivery)
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok", "250 Ok"]}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB))
            await until_queued(delivery, BOB)
            await delivery.until_settled()
            with monkeypatch.context() as patch:
                patch.setattr(QueueRepository, "settle", unavailable)
                await retry_now(delivery)
                await delivery.until(lambda: (Fact.RELAYED, BOB) in delivery.facts())
                await delivery.service.stop()
            await delivery.restart()
            await until_queued(delivery)
            assert len(hop.taken) == 1

    async def test_what_an_alias_led_to_before_a_crash_gets_it_once(self, delivery: Delivery) -> None:
        """The row names the alias, the facts name where it led; whoever it leads to now was not meant."""
        await patient(delivery)
        async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop, NextHop() as third:
            route(delivery, hop)
            route(delivery, third, "third.example")
            message = make_message(BOB)
            await delivery.spool.publish(message)
            await until_queued(delivery, BOB)
            await delivery.until_settled()
            delivery.records.add(f"alias {BOB} new@third.example")
            now, eve = datetime.now(UTC), "eve@third.example"
            delivery.events.record(
                Event("one", message.id, now, Fact.EXPANDED, "domains", recipient=BOB, recipients=(eve,))
            )
            delivery.events.record(Event("two", message.id, now, Fact.RELAYED, "domains", recipient=eve))
            await claimed(delivery, "test", now)
            await until_queued(delivery)
            assert third.taken == []
        assert await queued(delivery) == []


class TestAfterATakeover:
    """Who had claimed a delivery may be at work still, cut off from the database, and tells of it later."""

    @pytest.fixture
    async def hop(self, delivery: Delivery) -> AsyncIterator[NextHop]:
        """A next hop that takes mail now, for whom a delivery waits that another process had claimed."""
        await patient(delivery)
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB))
            await until_queued(delivery, BOB)
            await delivery.until_settled()
            yield hop

    async def take_over(self, delivery: Delivery) -> None:
        """Let it be claimed, and wait until it is put off."""
        async with writing(delivery.engine) as connection:
            later = datetime.now(UTC) + timedelta(hours=1)
            await connection.execute(update(QueuedDelivery).values(next_attempt_at=later))
        await claimed(delivery, "", datetime.now(UTC))
        async with asyncio.timeout(10):
            while await self.state(delivery) != DeliveryState.DEFERRED:  # noqa: ASYNC110 (a database tells nothing)
                await asyncio.sleep(0.02)

    async def state(self, delivery: Delivery) -> str:
        async with reading(delivery.engine) as connection:
            return str(await connection.scalar(select(QueuedDelivery.state)))

    async def then_it_is_told(self, delivery: Delivery) -> None:
        message_id = delivery.event(Fact.DEFERRED).message_id
        delivery.events.record(Event("late", message_id, datetime.now(UTC), Fact.RELAYED, "domains", recipient=BOB))
        await retry_now(delivery)
        await until_queued(delivery)

    async def test_it_is_not_made_again_although_the_directory_was_away(self, delivery: Delivery, hop: NextHop) -> None:
        delivery.records.is_away = True
        await self.take_over(delivery)
        delivery.records.is_away = False
        await self.then_it_is_told(delivery)
        assert hop.taken == []

    async def test_it_is_not_made_again_although_the_next_hop_had_no_turn(
        self, delivery: Delivery, hop: NextHop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def no_turn(*_: Any) -> list[Attempted]:
            outcome = replace(deferred("4.3.2", "No turn in time"), was_tried=False)
            return [Attempted(Recipient(BOB), BOB, "other.example", outcome)]

        with monkeypatch.context() as patch:
            patch.setattr(Dispatcher, "attempt", no_turn)
            await self.take_over(delivery)
        await self.then_it_is_told(delivery)
        assert hop.taken == []


async def test_a_next_hop_that_takes_mail_again_is_drained_in_one_go(delivery: Delivery) -> None:
    """Not by as many as it has connections in each interval."""
    recipients = [f"user{number}@other.example" for number in range(6)]
    await patient(delivery)
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as busy:
        route(delivery, busy)
        for recipient in recipients:
            await delivery.spool.publish(make_message(recipient))
        await until_queued(delivery, *recipients)
    delivery.settings.relay_connections_per_hop = 1
    delivery.settings.queue_poll_seconds = 3600
    await retry_now(delivery)
    async with NextHop() as hop:
        route(delivery, hop)
        await delivery.restart()
        await until_queued(delivery)
        assert sorted(taken.recipients[0] for taken in hop.taken) == recipients
