"""The spool does not take a DSN: nothing waits for it that it may be waiting for."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from delivery_world import BOB, Delivery, make_message, patient, queued, retry_now, route, until_queued
from next_hop import NextHop
from tripost_domains.delivery import bouncer
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import reading
from tripost_shared.spool.port import SpoolUnavailable

SENDER = "sender.example/ann"


async def test_messages_that_fail_leave_a_full_spool_and_are_told_once_it_has_room(delivery: Delivery) -> None:
    """As many as fit in memory: while they waited for room, nothing could be trimmed."""
    delivery.settings.messages_at_hand = 10
    await delivery.restart()
    delivery.records.add("mailbox ann@sender.example")
    messages = [make_message(f"gone-{number}@dest.example") for number in range(10)]
    for message in messages:
        await delivery.spool.publish(message)
    delivery.spool.is_full = True
    await delivery.until_settled()
    assert len(await queued(delivery)) == 10
    assert delivery.facts(messages[0].id) == [(Fact.DEFERRED, "gone-0@dest.example")]
    assert "the spool is full" in delivery.event(Fact.DEFERRED).detail
    delivery.spool.is_full = False
    await delivery.until(lambda: len(delivery.files(SENDER)) == 10)
    await until_queued(delivery)
    assert [fact for fact, _ in delivery.facts()].count(Fact.BOUNCED) == 10
    assert [fact for fact, _ in delivery.facts(messages[0].id)] == [Fact.DEFERRED, Fact.BOUNCED, Fact.FAILED]


async def test_a_failure_of_the_queue_stays_there_until_it_is_told(delivery: Delivery) -> None:
    await patient(delivery)
    delivery.records.add("mailbox ann@sender.example")
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "550 5.1.1 No such user", "550 5.1.1 No such user"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        await delivery.until_settled()
        delivery.spool.is_full = True
        await retry_now(delivery)
        await hop.wait_until(lambda hop: sum(command.startswith("RCPT") for command in hop.commands) == 2)
        await delivery.service.drain()
        async with reading(delivery.engine) as connection:
            row = (await connection.execute(select(QueuedDelivery))).one()
        assert (row.state, row.attempts, row.last_reply) == ("deferred", 1, "550 5.1.1 No such user")
        delivery.spool.is_full = False
        await delivery.restart()
        await retry_now(delivery)
        await delivery.until(lambda: len(delivery.files(SENDER)) == 1)
    await until_queued(delivery)


class TestUnheard:
    """The spool has the DSN and could not say so; when it is offered again, minutes later, its id is known no more."""

    @pytest.fixture
    async def offered(self, delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The DSNs that the spool was offered; the first one unheard."""
        await patient(delivery)
        offered: list[str] = []
        whole = delivery.spool.publish

        async def publish(message: SpooledMessage) -> None:
            await whole(message)
            if message.direction is Direction.BOUNCE:
                offered.append(message.id)
                delivery.spool._seen.clear()
                raise SpoolUnavailable("the acknowledgement was lost")

        monkeypatch.setattr(bouncer, "SPOOLED_WITHIN", timedelta(milliseconds=50))
        monkeypatch.setattr(delivery.spool, "publish", publish)
        return offered

    async def test_a_dsn_that_was_delivered_is_not_sent_again(self, delivery: Delivery, offered: list[str]) -> None:
        delivery.records.add("mailbox ann@sender.example")
        message = make_message("gone@dest.example")
        await delivery.spool.publish(message)
        await delivery.until(lambda: len(delivery.files(SENDER)) == 1)
        await until_queued(delivery, "gone@dest.example")
        await delivery.until_settled()
        await retry_now(delivery)
        await until_queued(delivery)
        told = [Fact.DEFERRED, Fact.BOUNCED, Fact.FAILED]
        await delivery.until(lambda: [fact for fact, _ in delivery.facts(message.id)] == told)
        assert len(offered) == len(delivery.files(SENDER)) == 1

    async def test_a_dsn_that_is_queued_is_not_sent_again(self, delivery: Delivery, offered: list[str]) -> None:
        async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
            route(delivery, hop, "sender.example")
            await delivery.spool.publish(make_message("gone@dest.example"))
            await until_queued(delivery, "gone@dest.example", "ann@sender.example")
            await delivery.until_settled()
            await retry_now(delivery)
            await until_queued(delivery, "ann@sender.example")
        assert len(offered) == 1
