"""Mistakes of ours may delay mail; they never repeat it without end."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from delivery_world import BOB, Delivery, make_message, next_look, queued, release, route, until_queued
from next_hop import NextHop
from tripost_domains.delivery import intake
from tripost_domains.delivery.dispatch import Dispatcher
from tripost_domains.delivery.settlement import Settlement
from tripost_domains.queue import scheduler
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import DatabaseUnavailable, reading


async def test_what_was_done_before_the_intake_broke_is_not_done_again(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise LookupError("no such table")

    monkeypatch.setattr(intake, "AFTER_BREAKAGE", timedelta(milliseconds=10))
    async with NextHop() as hop, NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as busy:
        route(delivery, hop)
        route(delivery, busy, "busy.example")
        with monkeypatch.context() as patch:
            patch.setattr(QueueRepository, "add", broken)
            await delivery.spool.publish(make_message(BOB, "eve@busy.example"))
            await busy.wait_until(lambda hop: sum(command == "DATA" for command in hop.commands) >= 3)
        await until_queued(delivery, "eve@busy.example")
        await delivery.until_settled()
        assert len(hop.taken) == 1


async def test_a_queued_message_that_could_not_be_settled_is_set_aside(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise LookupError("no such table")

    monkeypatch.setattr(scheduler, "LEASE", timedelta(milliseconds=10))
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        monkeypatch.setattr(QueueRepository, "settle", broken)
        await delivery.spool.publish(make_message(BOB))
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
        await delivery.until(lambda: bool(delivery.service._scheduler._aside))
        for _ in range(2):
            await next_look(delivery)
        assert len(hop.taken) == 1


async def test_a_message_that_spool_gives_again_while_it_is_at_hand_is_worked_on_once(delivery: Delivery) -> None:
    """SPOOL could not hear for long that work goes on."""
    delivery.events.is_unavailable = True
    message = make_message("ann@dest.example")
    await delivery.spool.publish(message)
    await delivery.until(lambda: len(delivery.files()) == 1)
    held = delivery.service._intake._at_hand[message.id]
    first = held.delivery
    await first.put_back(timedelta(0))
    await delivery.until(lambda: held.delivery is not first)
    delivery.events.is_unavailable = False
    await delivery.until_settled()
    assert delivery.facts() == [(Fact.DELIVERED, "ann@dest.example")]


async def test_a_message_that_breaks_us_again_and_again_is_held(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In SPOOL it would keep all that came after it there, until the spool is full."""
    attempts = 0

    async def broken(*_: object, **__: object) -> None:
        nonlocal attempts
        attempts += 1
        raise LookupError("no such table")

    monkeypatch.setattr(intake, "AFTER_BREAKAGE", timedelta(milliseconds=10))
    monkeypatch.setattr(Settlement, "settle_spooled", broken)
    message = make_message("ann@dest.example")
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert attempts == intake.MOST_BREAKAGES
    async with reading(delivery.engine) as connection:
        row = (await connection.execute(select(QueuedDelivery.state, QueuedDelivery.last_reply))).one()
    assert row.state == DeliveryState.HELD
    assert row.last_reply == "451 4.3.0 Delivery is broken, held for the administrator: LookupError"
    assert delivery.facts() == [(Fact.HELD, "ann@dest.example")]
    monkeypatch.undo()
    await release(delivery)
    await until_queued(delivery)
    assert len(delivery.files()) == 1


async def test_a_message_that_cannot_even_be_held_comes_again(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise LookupError("no such table")

    async def broken_too(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        raise LookupError("no such table")

    tries = 0
    monkeypatch.setattr(intake, "AFTER_BREAKAGE", timedelta(milliseconds=10))
    monkeypatch.setattr(Settlement, "settle_spooled", broken)
    monkeypatch.setattr(QueueRepository, "add", broken_too)
    await delivery.spool.publish(make_message("ann@dest.example"))
    await delivery.until(lambda: tries >= 2)
    assert len(delivery.spool.messages) == 1
    monkeypatch.undo()
    await delivery.restart()  # which forgets that the message was put back for half a minute
    await delivery.until_settled()
    assert len(delivery.files()) == 1


async def test_a_message_whose_envelope_breaks_planning_is_held_as_it_is(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise LookupError("no such table")

    monkeypatch.setattr(intake, "AFTER_BREAKAGE", timedelta(milliseconds=10))
    monkeypatch.setattr(Dispatcher, "plan", broken)
    await delivery.spool.publish(make_message("ann@dest.example", BOB))
    await delivery.until_settled()
    assert await queued(delivery) == ["ann@dest.example", BOB]
    assert [fact for fact, _ in delivery.facts()] == [Fact.HELD, Fact.HELD]


async def test_nothing_is_set_aside_before_it_may_have_been_attempted(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away between the claim and the attempt: the claim runs out, and that is all."""
    released = asyncio.Event()

    async def release(*_: object) -> None:
        released.set()
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(scheduler, "LEASE", timedelta(milliseconds=100))
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        await delivery.until_settled()
        with monkeypatch.context() as patch:
            patch.setattr(QueueRepository, "release", release)
            delivery.records.is_away = True
            async with asyncio.timeout(10):
                await released.wait()
            await delivery.until(lambda: not delivery.service._scheduler._working)
            assert not delivery.service._scheduler._aside
        delivery.records.is_away = False
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
