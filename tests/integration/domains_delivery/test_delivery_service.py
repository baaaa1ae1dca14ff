"""Messages on their way from SPOOL to mailboxes, next hops, the deferred queue and back as bounces."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import msgspec
import pytest
from sqlalchemy import func, select, update

from delivery_world import OCTETS, TOP, Delivery, make_message
from next_hop import NextHop
from tripost_domains.delivery import intake
from tripost_domains.queue import scheduler
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, Verdict
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.database.transactions import reading, writing
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient

BOB = "bob@other.example"


async def queued(delivery: Delivery) -> list[str]:
    """The recipients in the queue."""
    async with reading(delivery.engine) as connection:
        return sorted(await connection.scalars(select(QueuedDelivery.recipient)))


async def until_queued(delivery: Delivery, *recipients: str) -> None:
    async with asyncio.timeout(10):
        while await queued(delivery) != sorted(recipients):  # noqa: ASYNC110 (a database tells nothing)
            await asyncio.sleep(0.02)


async def retry_now(delivery: Delivery) -> None:
    """What an operator does."""
    async with writing(delivery.engine) as connection:
        await connection.execute(update(QueuedDelivery).values(next_attempt_at=datetime.now(UTC)))


async def release(delivery: Delivery) -> None:
    """What an operator does to what is held."""
    async with writing(delivery.engine) as connection:
        changed = {"state": DeliveryState.DEFERRED, "next_attempt_at": datetime.now(UTC)}
        await connection.execute(update(QueuedDelivery).values(**changed))


async def later(delivery: Delivery, by: timedelta) -> None:
    """Let the queued messages be older than they are."""
    async with writing(delivery.engine) as connection:
        for message_id, spooled in await connection.execute(select(QueuedMessage.id, QueuedMessage.spooled)):
            message = msgspec.msgpack.decode(spooled, type=SpooledMessage)
            older = msgspec.structs.replace(message, received_at=message.received_at - by)
            await connection.execute(
                update(QueuedMessage)
                .where(QueuedMessage.id == message_id)
                .values(spooled=msgspec.msgpack.encode(older))
            )


def route(delivery: Delivery, hop: NextHop, domain: str = "other.example") -> None:
    delivery.records.add(f"route {domain} {hop.host}:{hop.port} may")


@contextmanager
def database_away(delivery: Delivery) -> Iterator[None]:
    """Lock the database as long as the block runs, the way another process could."""
    path = delivery.database_url.partition("///")[2]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    delivery.records.is_away = True
    try:
        yield
    finally:
        delivery.records.is_away = False
        connection.rollback()
        connection.close()


async def test_a_message_for_a_mailbox_is_delivered_and_acknowledged(delivery: Delivery) -> None:
    message = make_message("ann@dest.example")
    await delivery.spool.publish(message)
    await delivery.until_settled()
    (file,) = delivery.files()
    assert file.read_bytes().endswith(TOP + OCTETS)
    assert delivery.facts() == [(Fact.DELIVERED, "ann@dest.example")]
    event = delivery.event(Fact.DELIVERED)
    assert (event.message_id, event.next_hop, event.stage) == (message.id, "mailbox", "delivery")


async def test_an_alias_is_expanded_and_told(delivery: Delivery) -> None:
    delivery.records.add("alias all@dest.example ann@dest.example bob@dest.example")
    await delivery.spool.publish(make_message("all@dest.example", "ann@dest.example"))
    await delivery.until_settled()
    assert (len(delivery.files()), len(delivery.files("dest.example/bob"))) == (1, 1)
    assert delivery.facts()[0] == (Fact.EXPANDED, "all@dest.example")
    assert "ann@dest.example, bob@dest.example" in delivery.event(Fact.EXPANDED).detail


async def test_recipients_of_one_next_hop_share_a_transaction(delivery: Delivery) -> None:
    async with NextHop() as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB, "eve@other.example", "ann@dest.example"))
        await delivery.until_settled()
        assert [transaction.recipients for transaction in hop.taken] == [[BOB, "eve@other.example"]]
    assert sorted(fact for fact, _ in delivery.facts()) == [Fact.DELIVERED, Fact.RELAYED, Fact.RELAYED]
    assert delivery.event(Fact.RELAYED).reply == "250 2.0.0 Taken"


async def test_a_next_hop_is_found_by_mx(delivery: Delivery) -> None:
    async with NextHop() as hop:
        delivery.service._intake._attempt._dispatcher._relay._finder._mx_port = hop.port  # type: ignore[attr-defined]
        delivery.dns.add("other.example MX 10 mx.other.example")
        delivery.dns.add("mx.other.example A 127.0.0.1")
        await delivery.spool.publish(make_message(BOB))
        await delivery.until_settled()
        assert len(hop.taken) == 1
    assert delivery.event(Fact.RELAYED).next_hop == f"mx.other.example[127.0.0.1]:{hop.port}"


@pytest.mark.parametrize("action", [Action.QUARANTINE, Action.REDIRECT, Action.DISCARD])
async def test_what_a_verdict_holds_back_waits_for_an_operator(delivery: Delivery, action: Action) -> None:
    """Nothing is delivered against the verdict, and nothing is lost."""
    delivery.records.add("alias all@dest.example ann@dest.example bob@dest.example")
    verdict = Verdict(action, rule="spam threshold")
    message = msgspec.structs.replace(make_message("all@dest.example"), verdict=verdict)
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert delivery.files() == []
    async with reading(delivery.engine) as connection:
        rows = (await connection.execute(select(QueuedDelivery.recipient, QueuedDelivery.state))).all()
        reply = await connection.scalar(select(QueuedDelivery.last_reply).limit(1))
    assert sorted(map(tuple, rows)) == [
        ("ann@dest.example", DeliveryState.HELD),
        ("bob@dest.example", DeliveryState.HELD),
    ]
    assert reply == f"451 4.7.0 Held for the administrator: the verdict is {action.value} by rule spam threshold"
    assert delivery.facts()[1:] == [(Fact.HELD, "ann@dest.example"), (Fact.HELD, "bob@dest.example")]
    await release(delivery)
    await delivery.until(lambda: len(delivery.files()) == len(delivery.files("dest.example/bob")) == 1)


class TestQueue:
    """What could not be done at once."""

    async def test_a_next_hop_that_returns_gets_the_message(self, delivery: Delivery) -> None:
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

    async def test_only_the_deferred_recipient_is_tried_again(self, delivery: Delivery) -> None:
        answers = iter(["450 4.2.1 Busy"])

        def answer(argument: str) -> str:
            return next(answers, "250 Ok") if "bob" in argument else "250 Ok"

        async with NextHop(replies={"RCPT": answer}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB, "eve@other.example"))
            await hop.wait_until(lambda hop: len(hop.taken) == 2)
            assert [transaction.recipients for transaction in hop.taken] == [["eve@other.example"], [BOB]]

    async def test_each_attempt_is_told_once(self, delivery: Delivery) -> None:
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "450 4.2.1 Busy", "250 Ok"]}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB))
            await delivery.until(lambda: (Fact.RELAYED, BOB) in delivery.facts())
        assert [fact for fact, _ in delivery.facts()] == [Fact.DEFERRED, Fact.DEFERRED, Fact.RELAYED]
        assert len({event.id for event in delivery.events.events}) == 3

    async def test_retry_now_is_followed_soon(self, delivery: Delivery) -> None:
        delivery.settings.retry_first_seconds = 3600
        await delivery.restart()
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB))
            await until_queued(delivery, BOB)
            await retry_now(delivery)
            await hop.wait_until(lambda hop: len(hop.taken) == 1, within=2)
        assert next(fact for fact, _ in delivery.facts()) == Fact.DEFERRED, "the first attempt had failed"

    async def test_large_content_stays_where_it_is_until_all_is_done(self, delivery: Delivery) -> None:
        octets = b"Subject: large\r\n\r\n" + b"x" * 200_000 + b"\r\n"
        content = delivery.store.put("large", octets)
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB, content=content))
            await hop.wait_until(lambda hop: len(hop.taken) == 1)
            assert hop.taken[0].content == TOP + octets

    async def test_a_changed_route_counts_for_what_is_queued(self, delivery: Delivery) -> None:
        async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as old, NextHop() as new:
            route(delivery, old)
            await delivery.spool.publish(make_message(BOB))
            await until_queued(delivery, BOB)
            route(delivery, new)
            await new.wait_until(lambda hop: len(hop.taken) == 1)
            assert not old.taken


def report_of(message: SpooledMessage) -> EmailMessage:
    parsed = message_from_bytes(message.content.inline or b"", policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


class TestBounces:
    """What failed for good."""

    async def test_the_sender_gets_one_dsn_for_all_recipients_that_failed(self, delivery: Delivery) -> None:
        delivery.records.add("mailbox ann@sender.example")
        async with NextHop(replies={"RCPT": "550 5.1.1 No such user"}) as hop:
            route(delivery, hop)
            message = make_message(BOB, "eve@other.example", "gone@dest.example")
            await delivery.spool.publish(message)
            await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
            await delivery.until_settled()
        (file,) = delivery.files("sender.example/ann")
        octets = file.read_bytes()
        assert octets.startswith(b"Return-Path: <>\r\n")
        report = message_from_bytes(octets, policy=policy.default)
        text = octets.decode()
        assert report.get_content_type() == "multipart/report"
        for recipient in (BOB, "eve@other.example", "gone@dest.example"):
            assert f"Final-Recipient: rfc822; {recipient}" in text
        assert "Diagnostic-Code: smtp; 550 5.1.1 No such user" in text
        assert "Subject: Hello" in text

    async def test_the_bounce_is_a_message_of_its_own_that_leads_back(self, delivery: Delivery) -> None:
        delivery.records.add("mailbox ann@sender.example")
        message = make_message("gone@dest.example")
        await delivery.spool.publish(message)
        await delivery.until(lambda: (Fact.DELIVERED, "ann@sender.example") in delivery.facts())
        told = delivery.event(Fact.BOUNCED)
        assert told.message_id == message.id
        accepted = delivery.event(Fact.ACCEPTED)
        assert (accepted.message_id, accepted.related) == (told.related, message.id)
        assert (accepted.direction, accepted.reverse_path) == (Direction.BOUNCE, "")
        assert delivery.facts(message.id) == [(Fact.BOUNCED, "ann@sender.example"), (Fact.FAILED, "gone@dest.example")]

    @pytest.mark.parametrize(
        ("message", "because"),
        [
            pytest.param(make_message("gone@dest.example", reverse_path=""), "null reverse-path", id="null"),
            pytest.param(
                msgspec.structs.replace(make_message("gone@dest.example", reverse_path=""), direction=Direction.BOUNCE),
                "double bounce",
                id="double bounce",
            ),
            pytest.param(
                msgspec.structs.replace(
                    make_message(),
                    envelope=Envelope("ann@dest.example", (Recipient("gone@dest.example", ("NEVER",)),)),
                ),
                "asked not to be told",
                id="NOTIFY=NEVER",
            ),
        ],
    )
    async def test_nobody_is_told(self, delivery: Delivery, message: SpooledMessage, because: str) -> None:
        await delivery.spool.publish(message)
        await delivery.until_settled()
        assert delivery.facts() == [(Fact.FAILED, "gone@dest.example")]
        assert because in delivery.event(Fact.FAILED).detail
        assert delivery.files() == []

    async def test_what_expires_in_the_queue_is_bounced_once(self, delivery: Delivery) -> None:
        delivery.records.add("mailbox ann@sender.example")
        async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB))
            await until_queued(delivery, BOB)
            await later(delivery, timedelta(days=5))
            await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
        await until_queued(delivery)
        text = delivery.files("sender.example/ann")[0].read_text()
        assert "Status: 5.4.7" in text
        assert "450 4.2.1 Busy" in text
        assert [fact for fact, _ in delivery.facts()].count(Fact.BOUNCED) == 1

    async def test_the_failure_waits_for_room_in_spool(self, delivery: Delivery) -> None:
        delivery.records.add("mailbox ann@sender.example")
        message = make_message("gone@dest.example")
        await delivery.spool.publish(message)
        delivery.spool.is_full = True
        await delivery.until(lambda: delivery.service.messages_at_hand == 1)
        assert [each.id for each in delivery.spool.messages] == [message.id]
        delivery.spool.is_full = False
        await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)


class TestOutages:
    """What is needed is away for a while."""

    async def test_nothing_is_acknowledged_before_its_events_are_on_disk(self, delivery: Delivery) -> None:
        delivery.events.is_unavailable = True
        await delivery.spool.publish(make_message("ann@dest.example"))
        await delivery.until(lambda: len(delivery.files()) == 1)
        assert len(delivery.spool.messages) == 1
        delivery.events.is_unavailable = False
        await delivery.until_settled()
        assert len(delivery.files()) == 1

    async def test_a_deferral_waits_for_the_database_and_nothing_is_delivered_twice(self, delivery: Delivery) -> None:
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
            route(delivery, hop)
            with database_away(delivery):
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

    async def test_mail_waits_for_the_directory(self, delivery: Delivery) -> None:
        delivery.records.is_away = True
        for _ in range(3):
            await delivery.spool.publish(make_message("ann@dest.example"))
        await delivery.until(lambda: delivery.service.messages_at_hand == 3)
        delivery.records.is_away = False
        await delivery.until_settled()
        assert len(delivery.files()) == 3

    async def test_no_more_is_taken_than_fits_in_memory(self, delivery: Delivery) -> None:
        delivery.settings.messages_at_hand = 10
        await delivery.restart()
        delivery.records.is_away = True
        for _ in range(25):
            await delivery.spool.publish(make_message("ann@dest.example"))
        await delivery.until(lambda: delivery.service.messages_at_hand == 10)
        delivery.records.is_away = False
        await delivery.until_settled()
        assert len(delivery.files()) == 25

    async def test_spool_comes_back(self, delivery: Delivery) -> None:
        delivery.spool.is_unavailable = True
        await asyncio.sleep(0)
        delivery.spool.is_unavailable = False
        await delivery.spool.publish(make_message("ann@dest.example"))
        await delivery.until_settled()

    async def test_content_that_is_away_defers(self, delivery: Delivery) -> None:
        content = delivery.store.put("large", OCTETS)
        delivery.store.is_unavailable = True
        await delivery.spool.publish(make_message("ann@dest.example", content=content))
        await until_queued(delivery, "ann@dest.example")
        delivery.store.is_unavailable = False
        await delivery.until(lambda: len(delivery.files()) == 1)


class TestRestarts:
    """A crash may repeat something, and loses nothing."""

    async def test_what_was_not_acknowledged_is_delivered_over_itself(self, delivery: Delivery) -> None:
        delivery.events.is_unavailable = True
        await delivery.spool.publish(make_message("ann@dest.example"))
        await delivery.until(lambda: len(delivery.files()) == 1)
        await delivery.restart()
        delivery.events.is_unavailable = False
        await delivery.until_settled()
        assert len(delivery.files()) == 1
        assert len({event.id for event in delivery.events.events}) == 1

    async def test_what_is_queued_already_is_not_attempted_again(self, delivery: Delivery) -> None:
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

    async def test_a_claim_of_a_stopped_process_is_due_at_once(self, delivery: Delivery) -> None:
        async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}, silent_at=set()) as hop:
            route(delivery, hop)
            await delivery.spool.publish(make_message(BOB))
            await until_queued(delivery, BOB)
            hop.silent_at.add("MAIL")
            await hop.wait_until(lambda hop: sum(command.startswith("MAIL") for command in hop.commands) == 2)
            hop.silent_at.clear()
            await delivery.restart()
            await hop.wait_until(lambda hop: len(hop.taken) == 1, within=5)

    async def test_a_large_message_that_was_settled_before_is_only_acknowledged(self, delivery: Delivery) -> None:
        """Its content has been deleted; only the acknowledgement was lost."""
        content = Content(size_octets=7, stored="gone")
        delivery.events.is_unavailable = True
        delivery.records.is_away = True
        await delivery.spool.publish(make_message("ann@dest.example", content=content))
        await delivery.until(lambda: delivery.service.messages_at_hand == 1)
        await delivery.restart()
        delivery.events.is_unavailable = False
        await delivery.until_settled()
        assert delivery.facts() == []

    async def test_draining_finishes_what_is_at_hand(self, delivery: Delivery) -> None:
        for _ in range(20):
            await delivery.spool.publish(make_message("ann@dest.example"))
        await delivery.until(lambda: delivery.service.messages_at_hand > 0 or not delivery.spool.messages)
        await delivery.service.drain()
        assert delivery.service.messages_at_hand == 0
        taken = 20 - len(delivery.spool.messages)
        assert len(delivery.files()) == taken


async def next_look(delivery: Delivery) -> None:
    """Wait until the scheduler has looked for due deliveries once more."""
    aside = delivery.service._scheduler._aside
    await delivery.until(lambda: delivery.service._scheduler._aside is not aside)


class TestMistakes:
    """Mistakes of ours may delay mail; they never repeat it without end."""

    async def test_what_was_done_before_the_intake_broke_is_not_done_again(
        self, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
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
        self, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
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

    async def test_a_message_that_spool_gives_again_while_it_is_at_hand_is_worked_on_once(
        self, delivery: Delivery
    ) -> None:
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


async def test_the_queue_is_empty_of_content_when_all_is_done(delivery: Delivery) -> None:
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
        await until_queued(delivery)
    async with reading(delivery.engine) as connection:
        assert await connection.scalar(select(func.count()).select_from(QueuedMessage)) == 0
