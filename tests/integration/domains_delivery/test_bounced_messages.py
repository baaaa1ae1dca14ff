"""What failed for good is told to the sender."""

import asyncio
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from delivery_world import BOB, Delivery, expire, make_message, patient, queued, retry_now, route, until_queued
from next_hop import NextHop
from tripost_domains.delivery import intake
from tripost_domains.delivery.dispatch import Dispatcher
from tripost_domains.delivery.outcome import Attempted
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import writing
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.identifier import is_message_id


async def test_the_sender_gets_one_dsn_for_all_recipients_that_failed(delivery: Delivery) -> None:
    delivery.records.add("mailbox ann@sender.example")
    async with NextHop(replies={"RCPT": "550 5.1.1 No such user"}) as hop:
        route(delivery, hop)
        message = make_message(BOB, "eve@other.example", "gone@dest.example")
        await delivery.spool.publish(message)
        await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
        await delivery.until_settled()
    (file,) = delivery.files("sender.example/ann")
    octets = file.read_bytes()
    assert octets.startswith(b"Return-Path: <>\n")
    report = message_from_bytes(octets, policy=policy.default)
    text = octets.decode()
    assert report.get_content_type() == "multipart/report"
    for recipient in (BOB, "eve@other.example", "gone@dest.example"):
        assert f"Final-Recipient: rfc822; {recipient}" in text
    assert "Diagnostic-Code: smtp; 550 5.1.1 No such user" in text
    assert "Subject: Hello" in text


async def test_a_failure_is_not_told_to_be_later_than_its_bounce(delivery: Delivery) -> None:
    """It is recorded later, once the DSN is in the spool, and in a trace it stands before what it has led to."""
    delivery.records.add("mailbox ann@sender.example")
    message = make_message("gone@dest.example")
    await delivery.spool.publish(message)
    await delivery.until(lambda: Fact.FAILED in {fact for fact, _ in delivery.facts(message.id)})
    assert delivery.event(Fact.FAILED).at <= delivery.event(Fact.BOUNCED).at


async def test_the_bounce_is_a_message_of_its_own_that_leads_back(delivery: Delivery) -> None:
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
async def test_nobody_is_told(delivery: Delivery, message: SpooledMessage, because: str) -> None:
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert delivery.facts() == [(Fact.FAILED, "gone@dest.example")]
    assert because in delivery.event(Fact.FAILED).detail
    assert delivery.files() == []


async def test_what_expires_in_the_queue_is_bounced_once(delivery: Delivery) -> None:
    delivery.records.add("mailbox ann@sender.example")
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await until_queued(delivery, BOB)
        await expire(delivery)
        await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
    await until_queued(delivery)
    text = delivery.files("sender.example/ann")[0].read_text()
    assert "Status: 5.4.7" in text
    assert "Diagnostic-Code: smtp; 450 4.2.1 Busy" in text
    assert delivery.event(Fact.FAILED).detail == "expired; last reply: 450 4.2.1 Busy"
    assert [fact for fact, _ in delivery.facts()].count(Fact.BOUNCED) == 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param([f"550 5.1.1 <{BOB}> unknown"], id="first attempt"),
        pytest.param(["450 4.2.1 Busy", f"550 5.1.1 <{BOB}> unknown"], id="from the queue"),
    ],
)
async def test_the_dsn_names_the_alias_that_the_sender_wrote_to_and_nothing_of_where_it_leads(
    delivery: Delivery, said: list[str]
) -> None:
    """The trace has it."""
    delivery.records.add("mailbox ann@sender.example")
    delivery.records.add(f"alias info@dest.example {BOB}")
    async with NextHop(replies={"RCPT": said}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message("info@dest.example"))
        await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
    text = delivery.files("sender.example/ann")[0].read_text()
    assert "  <info@dest.example>\n    the next hop said: 550 5.1.1 <info@dest.example> unknown\n" in text
    assert "Final-Recipient: rfc822; info@dest.example" in text
    assert "Diagnostic-Code: smtp; 550 5.1.1 <info@dest.example> unknown" in text
    assert all(secret not in text.lower() for secret in ("bob", "other.example", "127.0.0.1", "remote-mta"))
    failed = delivery.event(Fact.FAILED)
    assert (failed.recipient, failed.reply) == (BOB, f"550 5.1.1 <{BOB}> unknown")


async def test_what_expires_behind_an_alias_tells_nothing_of_the_hosts_there(delivery: Delivery) -> None:
    """Our own words name them."""
    delivery.records.add("mailbox ann@sender.example")
    delivery.records.add(f"alias info@dest.example {BOB}")
    async with NextHop(drop_at={"MAIL"}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message("info@dest.example"))
        await until_queued(delivery, BOB)
        await expire(delivery)
        await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
        assert f"127.0.0.1[127.0.0.1]:{hop.port}" in delivery.event(Fact.FAILED).detail
    text = delivery.files("sender.example/ann")[0].read_text()
    assert "Connection with (withheld) lost while sending MAIL" in text
    assert all(secret not in text.lower() for secret in ("bob", "other.example", "127.0.0.1"))


async def test_an_address_that_the_sender_wrote_to_as_well_as_to_its_alias_is_told_as_it_is(delivery: Delivery) -> None:
    delivery.records.add("mailbox ann@sender.example")
    delivery.records.add(f"alias info@dest.example {BOB}")
    async with NextHop(replies={"RCPT": "550 5.1.1 No such user"}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message("info@dest.example", BOB))
        await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
    text = delivery.files("sender.example/ann")[0].read_text()
    assert f"Final-Recipient: rfc822; {BOB}" in text
    assert "Remote-MTA: dns; [127.0.0.1]" in text


async def test_what_an_alias_replaced_after_it_was_queued_names_the_address_that_the_sender_wrote_to(
    delivery: Delivery,
) -> None:
    delivery.records.add("mailbox ann@sender.example")
    delivery.records.add(f"alias info@dest.example {BOB}")
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "450 4.2.1 Busy", "550 5.1.1 No such user"]}) as hop:
        route(delivery, hop)
        route(delivery, hop, "third.example")
        await patient(delivery)
        await delivery.spool.publish(make_message("info@dest.example"))
        await until_queued(delivery, BOB)
        delivery.records.add(f"alias {BOB} bob@third.example")
        await retry_now(delivery)
        await until_queued(delivery, "bob@third.example")
        await retry_now(delivery)
        await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
    text = delivery.files("sender.example/ann")[0].read_text()
    assert "Final-Recipient: rfc822; info@dest.example" in text
    assert all(secret not in text for secret in (BOB, "third.example"))


async def test_a_dsn_that_was_spooled_before_a_crash_is_the_same_afterwards(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery.records.add("mailbox ann@sender.example")
    monkeypatch.setattr(intake, "AFTER_BREAKAGE", timedelta(milliseconds=10))
    offered: list[str] = []

    async def publish_then_break(bounce: SpooledMessage) -> None:
        offered.append(bounce.id)
        if len(offered) > 1:
            await publish(bounce)
        if len(offered) < 3:
            raise LookupError("a crash")

    publish = delivery.spool.publish
    await publish(make_message("gone@dest.example"))
    monkeypatch.setattr(delivery.spool, "publish", publish_then_break)
    await delivery.until_settled()
    assert len(offered) > 1
    assert len(set(offered)) == 1
    assert is_message_id(offered[0])
    assert len(delivery.files("sender.example/ann")) == 1


async def test_a_dsn_that_was_told_of_is_not_sent_again_by_the_next_attempt(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue's row was still there after a crash, and SPOOL remembers an id for two minutes only."""
    delivery.records.add("mailbox ann@sender.example")
    broken = True

    async def settle(*arguments: Any) -> str | None:
        if broken:
            raise LookupError("a crash")
        return await whole(*arguments)

    whole = QueueRepository.settle
    monkeypatch.setattr(QueueRepository, "settle", settle)
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "550 5.1.1 No such user"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB))
        await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
        await delivery.until(lambda: bool(delivery.service._scheduler._aside))
        broken = False
        delivery.spool._seen.clear()
        await delivery.restart()  # which gives the claim back
        await until_queued(delivery)
        await delivery.until_settled()
        assert sum(command.startswith("RCPT") for command in hop.commands) == 2
    assert len(delivery.files("sender.example/ann")) == 1
    assert [fact for fact, _ in delivery.facts()].count(Fact.BOUNCED) == 1


async def test_a_dsn_larger_than_nats_takes_goes_by_reference(delivery: Delivery) -> None:
    delivery.records.add("mailbox ann@sender.example")
    gone = [f"gone-{number}@dest.example" for number in range(20)]
    await delivery.spool.publish(make_message(*gone))
    delivery.spool.most_octets = 2000
    await delivery.until(lambda: len(delivery.files("sender.example/ann")) == 1)
    text = delivery.files("sender.example/ann")[0].read_text()
    assert all(f"Final-Recipient: rfc822; {address}" in text for address in gone)


async def test_a_sender_is_told_nothing_of_what_another_replica_attempts_now(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our claim ran out while the database was away, and was taken over."""
    lost = asyncio.Event()

    async def attempt_and_lose_the_claim(*arguments: Any) -> list[Attempted]:
        attempted = await whole(*arguments)
        async with writing(delivery.engine) as connection:
            until = datetime.now(UTC) + timedelta(minutes=1)
            await connection.execute(update(QueuedDelivery).values(claimed_by="other", claimed_until=until))
        lost.set()
        return attempted

    whole = Dispatcher.attempt
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "550 5.1.1 No such user"]}) as hop:
        route(delivery, hop)
        message = make_message(BOB)
        await delivery.spool.publish(message)
        await until_queued(delivery, BOB)
        await delivery.until_settled()
        monkeypatch.setattr(Dispatcher, "attempt", attempt_and_lose_the_claim)
        async with asyncio.timeout(10):
            await lost.wait()
        await delivery.until(lambda: not delivery.service._scheduler._working)
    assert await queued(delivery) == [BOB]
    assert delivery.facts(message.id) == [(Fact.DEFERRED, BOB)]
    assert delivery.spool.messages == []
