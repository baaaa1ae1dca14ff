"""A crash may repeat something, and loses nothing."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, insert, update

from delivery_world import BOB, QUICK, Delivery, give_again, make_message, queued, route, until_queued
from next_hop import NextHop
from tripost_domains.delivery import patience
from tripost_domains.delivery.mailbox.maildir import Delivery as MaildirDelivery
from tripost_domains.delivery.mailbox.maildir import MaildirStore
from tripost_domains.tracking.recorder import TrackingRecorder
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery, QueuedMessage, QueueFact
from tripost_shared.database.transactions import writing
from tripost_shared.spool.memory import MemorySpoolDelivery


async def test_what_was_not_acknowledged_is_delivered_over_itself(delivery: Delivery) -> None:
    delivery.events.is_unavailable = True
    await delivery.spool.publish(make_message("ann@dest.example"))
    await delivery.until(lambda: len(delivery.events.events) == 1)
    (first,) = [event.id for event in delivery.events.events]
    delivery.events.events.clear()  # they were in memory only
    await delivery.restart()
    delivery.events.is_unavailable = False
    await delivery.until_settled()
    assert len(delivery.files()) == 1
    assert [event.id for event in delivery.events.events] == [first]


async def test_what_was_settled_before_a_stop_is_acknowledged_with_it(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put back, it would be attempted a second time, maybe before the tracking knows of the first."""
    monkeypatch.setattr(patience, "FIRST_WAIT_SECONDS", 60.0)
    delivery.events.is_unavailable = True
    await delivery.spool.publish(make_message("ann@dest.example"))
    await delivery.until(lambda: delivery.facts() == [(Fact.DELIVERED, "ann@dest.example")])
    delivery.events.is_unavailable = False
    await delivery.service.stop()
    assert delivery.spool.messages == []


async def test_facts_are_on_disk_before_an_unfinished_message_goes_back(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica asks the tracking for them, and leaves out who has the message."""
    steps: list[str] = []

    async def flush() -> None:
        steps.append("flush")

    async def put_back(*_: object) -> None:
        steps.append("put back")

    async with NextHop(silent_at={"MAIL"}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message("ann@dest.example", BOB))
        await hop.wait_until(lambda hop: any(command.startswith("MAIL") for command in hop.commands))
        monkeypatch.setattr(delivery.events, "flush", flush)
        monkeypatch.setattr(MemorySpoolDelivery, "put_back", put_back)
        await delivery.service._intake.stop()
    assert steps == ["flush", "put back"]


async def test_a_file_is_written_to_its_end_before_its_message_goes_back(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica on the same storage looks for it, and would write a second one."""
    files_then: list[int] = []
    is_at_work, goes_on = threading.Event(), threading.Event()
    write_whole = MaildirStore.deliver_all

    def deliver_all(store: MaildirStore, deliveries: Sequence[MaildirDelivery]) -> list[OSError | None]:
        is_at_work.set()
        goes_on.wait(timeout=10)
        return write_whole(store, deliveries)

    async def put_back(*_: object) -> None:
        files_then.append(len(delivery.files()))

    monkeypatch.setattr(MaildirStore, "deliver_all", deliver_all)
    monkeypatch.setattr(MemorySpoolDelivery, "put_back", put_back)
    await delivery.spool.publish(make_message("ann@dest.example"))
    await delivery.until(is_at_work.is_set)
    stopping = asyncio.create_task(delivery.service.stop())
    await asyncio.wait({stopping}, timeout=0.05)
    goes_on.set()
    await stopping
    assert files_then == [1]


async def test_what_is_queued_already_is_not_attempted_again(delivery: Delivery) -> None:
    delivery.settings.retry_first_seconds = 3600
    await delivery.restart()
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
        route(delivery, hop)
        delivery.events.is_unavailable = True
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        await delivery.restart()
        delivery.events.is_unavailable = False
        await delivery.until_settled()
        assert len([command for command in hop.commands if command.startswith("RCPT")]) == 1
    assert await queued(delivery) == [BOB]


async def test_a_claim_of_a_stopped_process_is_due_at_once(delivery: Delivery) -> None:
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}, silent_at=set()) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        hop.silent_at.add("MAIL")
        await hop.wait_until(lambda hop: sum(command.startswith("MAIL") for command in hop.commands) == 2)
        hop.silent_at.clear()
        await delivery.restart()
        await hop.wait_until(lambda hop: len(hop.taken) == 1, within=5)
        await until_queued(delivery)
        assert [taken.recipients for taken in hop.taken] == [[BOB]]


async def test_a_queued_delivery_that_was_made_before_a_crash_is_not_made_again(delivery: Delivery) -> None:
    """Its fact was in the event log, and its row was still there."""
    delivery.settings.retry_first_seconds = 3600
    await delivery.restart()
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        message = make_message(BOB, "eve@other.example")
        await delivery.spool.publish(message)
        await until_queued(delivery, BOB, "eve@other.example")
        await delivery.until_settled()
        delivery.events.record(Event("made", message.id, datetime.now(UTC), Fact.RELAYED, "domains", recipient=BOB))
        async with writing(delivery.engine) as connection:
            ours = {"state": DeliveryState.ATTEMPTING, "claimed_by": "test", "claimed_until": datetime.now(UTC)}
            await connection.execute(update(QueuedDelivery).values(**ours))
        await until_queued(delivery)
        assert [taken.recipients for taken in hop.taken] == [["eve@other.example"]]


async def test_draining_finishes_what_is_at_hand(delivery: Delivery) -> None:
    for _ in range(20):
        await delivery.spool.publish(make_message("ann@dest.example"))
    await delivery.until(lambda: delivery.service.messages_at_hand > 0 or not delivery.spool.messages)
    await delivery.service.drain()
    assert delivery.service.messages_at_hand == 0
    taken = 20 - len(delivery.spool.messages)
    assert len(delivery.files()) == taken


class TestWhatComesAgain:
    """SPOOL gives a message again whose acknowledgement got lost, when its queue rows may be gone already."""

    async def test_what_was_relayed_at_once_is_not_sent_again(self, delivery: Delivery) -> None:
        message = make_message(BOB)
        async with NextHop() as hop:
            route(delivery, hop)
            await delivery.spool.publish(message)
            await delivery.until_settled()
            await give_again(delivery, message)
            await delivery.until_settled()
            assert len(hop.taken) == 1

    async def test_what_was_relayed_from_the_queue_is_not_sent_again(self, delivery: Delivery) -> None:
        message = make_message(BOB)
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(message)
            await hop.wait_until(lambda hop: len(hop.taken) == 1)
            await until_queued(delivery)
            await give_again(delivery, message)
            await delivery.until_settled()
            assert len(hop.taken) == 1
        assert await queued(delivery) == []

    async def test_what_failed_is_told_once(self, delivery: Delivery) -> None:
        delivery.records.add("mailbox ann@sender.example")
        message = make_message("gone@dest.example")
        await delivery.spool.publish(message)
        await delivery.until(lambda: (Fact.DELIVERED, "ann@sender.example") in delivery.facts())
        delivery.records.add("mailbox gone@dest.example")
        await give_again(delivery, message)
        await delivery.until_settled()
        assert len(delivery.files("sender.example/ann")) == 1
        assert delivery.files("dest.example/gone") == []

    @pytest.mark.parametrize("is_told", [True, False])
    async def test_what_an_operator_dropped_stays_dropped(self, delivery: Delivery, is_told: bool) -> None:
        """Also while admin-api could not tell of it yet: its fact is in the database alone."""
        delivery.settings.retry_first_seconds = 3600
        await delivery.restart()
        message = make_message(BOB)
        async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(message)
            await until_queued(delivery, BOB)
            await delivery.until_settled()
            fact = Event("dropped", message.id, datetime.now(UTC), Fact.DISCARDED, "admin-api", recipient=BOB)
            async with writing(delivery.engine) as connection:
                await connection.execute(delete(QueuedDelivery))
                await connection.execute(delete(QueuedMessage))
                if not is_told:
                    await connection.execute(
                        insert(QueueFact).values(
                            id=fact.id,
                            message_id=message.id,
                            recipient=BOB,
                            at=fact.at,
                            fact=fact.fact.value,
                            detail="",
                        )
                    )
            if is_told:
                delivery.events.record(fact)
            await give_again(delivery, message)
            await delivery.until_settled()
            assert [command for command in hop.commands if command.startswith("RCPT")] == [f"RCPT TO:<{BOB}>"]
        assert await queued(delivery) == []

    async def test_an_alias_that_leads_elsewhere_now_was_settled_then(self, delivery: Delivery) -> None:
        """Facts tell of the mailboxes; whoever the alias has now was not meant."""
        delivery.records.add("alias all@dest.example ann@dest.example bob@dest.example")
        message = make_message("All@dest.example")
        await delivery.spool.publish(message)
        await delivery.until_settled()
        delivery.records.add("mailbox eve@dest.example")
        delivery.records.add("alias all@dest.example eve@dest.example")
        await give_again(delivery, message)
        await delivery.until_settled()
        assert delivery.files("dest.example/eve") == []
        assert len(delivery.files()) == len(delivery.files("dest.example/bob")) == 1

    async def test_the_targets_of_an_alias_that_got_nothing_get_it(self, delivery: Delivery) -> None:
        delivery.records.add("alias all@dest.example ann@dest.example bob@dest.example")
        message = make_message("all@dest.example")
        now = datetime.now(UTC)
        told = Event("one", message.id, now, Fact.DELIVERED, "domains", recipient="ann@dest.example")
        delivery.events.record(told)
        await give_again(delivery, message)
        await delivery.until_settled()
        assert delivery.files() == []
        assert len(delivery.files("dest.example/bob")) == 1

    async def test_facts_on_their_way_to_the_database_are_waited_for(self, delivery: Delivery) -> None:
        await delivery.recorder.stop()
        message = make_message(BOB)
        async with NextHop() as hop:
            route(delivery, hop)
            await delivery.spool.publish(message)
            await delivery.until_settled()
            await give_again(delivery, message)
            await delivery.until(lambda: delivery.service.messages_at_hand == 1)
            delivery.recorder = TrackingRecorder(delivery.facts_reader, delivery.tracking, QUICK)
            delivery.recorder.start()
            await delivery.until_settled()
            assert len(hop.taken) == 1

    async def test_what_the_database_never_heard_of_is_attempted(self, delivery: Delivery) -> None:
        """Rather twice than never."""
        await delivery.recorder.stop()
        message = make_message("ann@dest.example")
        await give_again(delivery, message)
        delivery.events.record(Event("one", "other", datetime.now(UTC), Fact.DELIVERED, "domains"))
        await delivery.until_settled()
        assert len(delivery.files()) == 1
