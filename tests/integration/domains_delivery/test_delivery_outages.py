"""What delivery needs is away for a while."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from delivery_world import (
    BOB,
    OCTETS,
    Delivery,
    database_away,
    make_message,
    patient,
    queued,
    retry_now,
    route,
    until_queued,
)
from next_hop import NextHop
from tripost_domains.delivery import first_attempt, intake, patience, waiting_log
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.events import Fact
from tripost_shared.database.transactions import DatabaseUnavailable, writing
from tripost_shared.spool.port import SpoolUnavailable


async def until_at_hand(delivery: Delivery, count: int, *, of: int, recipient: str = "ann@dest.example") -> None:
    """Spool as many messages as `of` says, and wait until so many are at hand."""
    for _ in range(of):
        await delivery.spool.publish(make_message(recipient))
    await delivery.until(lambda: delivery.service.messages_at_hand == count)


async def test_nothing_is_acknowledged_before_its_events_are_on_disk(delivery: Delivery) -> None:
    delivery.events.is_unavailable = True
    await delivery.spool.publish(make_message("ann@dest.example"))
    await delivery.until(lambda: len(delivery.files()) == 1)
    assert len(delivery.spool.messages) == 1
    delivery.events.is_unavailable = False
    await delivery.until_settled()
    assert len(delivery.files()) == 1


async def test_queued_deliveries_stay_in_the_queue_until_their_facts_are_on_disk(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts and rows lost together would have the message sent again, or never traced."""
    failed = asyncio.Event()

    async def flush() -> None:
        try:
            await whole()
        except SpoolUnavailable:
            failed.set()
            raise

    whole = delivery.events.flush
    await patient(delivery)
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        await delivery.until_settled()
        monkeypatch.setattr(delivery.events, "flush", flush)
        delivery.events.is_unavailable = True
        await retry_now(delivery)
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
        async with asyncio.timeout(5):
            await failed.wait()
        assert await queued(delivery) == [BOB]
        delivery.events.is_unavailable = False
        await until_queued(delivery)
        assert len(hop.taken) == 1


async def test_a_deferral_waits_for_the_database_and_nothing_is_delivered_twice(delivery: Delivery) -> None:
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        async with database_away(delivery):
            delivery.records.is_away = False  # what the directory remembers is enough for it
            await delivery.spool.publish(make_message(BOB, "ann@dest.example"))
            await delivery.until(lambda: (Fact.DELIVERED, "ann@dest.example") in delivery.facts())
            await hop.wait_until(lambda hop: any("RCPT" in command for command in hop.commands))
            assert delivery.service.messages_at_hand == 1
            assert len(delivery.spool.messages) == 1
        await hop.wait_until(lambda hop: len(hop.taken) == 1, within=30)
        await delivery.until_settled()
    assert [fact for fact, _ in delivery.facts()].count(Fact.DELIVERED) == 1
    assert len(delivery.files()) == 1


async def test_mail_waits_for_the_directory(delivery: Delivery) -> None:
    delivery.records.is_away = True
    await until_at_hand(delivery, 3, of=3)
    delivery.records.is_away = False
    await delivery.until_settled()
    assert len(delivery.files()) == 3


async def test_no_more_is_taken_than_fits_in_memory(delivery: Delivery) -> None:
    delivery.settings.messages_at_hand = 10
    await delivery.restart()
    delivery.records.is_away = True
    await until_at_hand(delivery, 10, of=25)
    delivery.records.is_away = False
    await delivery.until_settled()
    assert len(delivery.files()) == 25


async def test_mail_that_waits_for_the_queue_does_not_stop_mail_for_mailboxes_at_once(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is away, three times as many may wait for it as may be at hand otherwise."""
    is_back = asyncio.Event()
    add = QueueRepository.add

    async def add_once_it_is_back(*arguments: Any) -> None:
        await is_back.wait()
        await add(*arguments)

    monkeypatch.setattr(QueueRepository, "add", add_once_it_is_back)
    delivery.settings.messages_at_hand = 10
    await delivery.restart()
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
        route(delivery, hop)
        await until_at_hand(delivery, 25, of=25, recipient=BOB)
        await delivery.spool.publish(make_message("ann@dest.example"))
        await delivery.until(lambda: len(delivery.files()) == 1)
        await until_at_hand(delivery, 40, of=25, recipient=BOB)  # 10 at hand, and 30 places
        is_back.set()
        await delivery.until_settled()
    assert len(await queued(delivery)) == 50


@pytest.mark.parametrize("table", ["queued_messages", "queued_deliveries"])
async def test_a_table_that_is_missing_for_a_while_has_no_mail_held_or_bounced(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """Or a right to it: an administrator's mistake costs mail time, and nobody has to release it afterwards."""
    monkeypatch.setattr(intake, "AFTER_BREAKAGE", timedelta(milliseconds=10))
    monkeypatch.setattr(waiting_log, "FIRST_PAUSE_SECONDS", 0.0)  # each try is told
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
        route(delivery, hop)
        async with writing(delivery.engine) as connection:
            await connection.execute(text(f"ALTER TABLE {table} RENAME TO away"))
        with capture_logs() as lines:
            await delivery.spool.publish(make_message(BOB))
            waits = {"event": "waiting", "task": "queue deliveries"}
            await delivery.until(lambda: sum(line.items() >= waits.items() for line in lines) >= 2)
        assert delivery.service.messages_at_hand == len(delivery.spool.messages) == 1
        async with writing(delivery.engine) as connection:
            await connection.execute(text(f"ALTER TABLE away RENAME TO {table}"))
        await until_queued(delivery, BOB)
        await delivery.until_settled()
    assert {fact for fact, _ in delivery.facts()} == {Fact.DEFERRED}


async def test_spool_comes_back(delivery: Delivery) -> None:
    delivery.spool.is_unavailable = True
    await asyncio.sleep(0)
    delivery.spool.is_unavailable = False
    await delivery.spool.publish(make_message("ann@dest.example"))
    await delivery.until_settled()
    assert len(delivery.files()) == 1


async def test_content_that_is_away_defers(delivery: Delivery) -> None:
    content = delivery.store.put("large", OCTETS)
    delivery.store.is_unavailable = True
    await delivery.spool.publish(make_message("ann@dest.example", content=content))
    await until_queued(delivery, "ann@dest.example")
    delivery.store.is_unavailable = False
    await delivery.until(lambda: len(delivery.files()) == 1)
    assert delivery.facts()[0] == (Fact.DEFERRED, "ann@dest.example")
    assert delivery.event(Fact.DEFERRED).reply == "451 4.3.0 Content cannot be read now"


async def test_a_next_hop_that_keeps_us_waiting_keeps_no_message_in_spool(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came after it in SPOOL could not be trimmed."""
    monkeypatch.setattr(first_attempt, "WITHIN", timedelta(milliseconds=200))
    delivery.settings.relay_command_seconds = 600
    delivery.settings.retry_first_seconds = 3600
    await delivery.restart()
    async with NextHop(silent_at={"RCPT"}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await delivery.until_settled()
        assert await queued(delivery) == [BOB]
        hop.silent_at.clear()
        await retry_now(delivery)
        await hop.wait_until(lambda hop: len(hop.taken) == 1)


async def test_claims_are_renewed_as_soon_as_the_database_is_back(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may take them over otherwise, while we are still at work on them."""
    tries = 0

    async def renew(*arguments: Any) -> frozenset[int]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise DatabaseUnavailable("away")
        renewed.set()
        return await whole(*arguments)

    whole = QueueRepository.renew
    renewed = asyncio.Event()
    monkeypatch.setattr(patience, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(QueueRepository, "renew", renew)
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        hop.silent_at.add("MAIL")
        await delivery.until(lambda: bool(delivery.service._scheduler._working))
        async with asyncio.timeout(1):  # the next one would come after 20 s
            await delivery.service._scheduler._renew()
        assert renewed.is_set()
