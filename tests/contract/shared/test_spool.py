"""One behaviour suite for SPOOL and the event log, on the fakes and on JetStream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from links import PARTITIONS, provisioned_link
from servers import NatsServer
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.spool import trimming
from tripost_shared.spool.jetstream import (
    JetStreamEventLog,
    JetStreamEventReader,
    JetStreamSpool,
    JetStreamSpoolReader,
)
from tripost_shared.spool.memory import MemoryEventLog, MemoryEventReader, MemorySpool
from tripost_shared.spool.port import EventLog, EventReader, MessageTooLarge, Spool, SpoolDelivery, SpoolReader

AT = datetime(2026, 1, 1, tzinfo=UTC)
WAIT = timedelta(seconds=5)
NOT_LONG = timedelta(seconds=0.2)


def a_message(identifier: str = "1k3v9q2m8f0abcde.1", octets: bytes = b"Subject: x\r\n\r\nHello\r\n") -> SpooledMessage:
    return SpooledMessage(
        id=identifier,
        received_at=AT,
        direction=Direction.INBOUND,
        client=Client("192.0.2.7"),
        envelope=Envelope("ann@a.example", (Recipient("bob@b.example"),)),
        content=Content.of(octets),
    )


def an_event(number: int) -> Event:
    return Event(id=f"e{number}", message_id="1k3v9q2m8f0abcde.1", at=AT, fact=Fact.ACCEPTED, service="edge")


@pytest.fixture(params=["memory", "jetstream"])
async def spool_and_reader(
    request: pytest.FixtureRequest, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Spool, SpoolReader]]:
    if request.param == "memory":
        spool = MemorySpool()
        yield spool, spool
        return
    monkeypatch.setattr(trimming, "TRIM_EVERY_SECONDS", 0.05)
    async with provisioned_link(nats_server) as link:
        reader = JetStreamSpoolReader(link, PARTITIONS)
        yield JetStreamSpool(link, PARTITIONS), reader
        await reader.close()


async def all_of(reader: SpoolReader, count: int) -> list[SpoolDelivery]:
    taken: list[SpoolDelivery] = []
    async with asyncio.timeout(10):
        while len(taken) < count:
            taken += await reader.fetch(64, WAIT)
    return taken


async def test_what_is_published_comes_out_as_it_went_in(spool_and_reader: tuple[Spool, SpoolReader]) -> None:
    spool, reader = spool_and_reader
    message = a_message(octets=bytes(range(256)) * 10)
    await spool.publish(message)
    (delivery,) = await all_of(reader, 1)
    assert delivery.message == message
    assert delivery.times_delivered == 1


async def test_messages_come_from_all_partitions_once_each(spool_and_reader: tuple[Spool, SpoolReader]) -> None:
    spool, reader = spool_and_reader
    await asyncio.gather(*(spool.publish(a_message(f"1k3v9q2m8f0abcde.{number}")) for number in range(1, 201)))
    taken = await all_of(reader, 200)
    for delivery in taken:
        await delivery.done()
    assert len({delivery.message.id for delivery in taken}) == 200
    assert await reader.fetch(10, NOT_LONG) == []


async def test_the_same_id_again_is_kept_once(spool_and_reader: tuple[Spool, SpoolReader]) -> None:
    spool, reader = spool_and_reader
    await spool.publish(a_message())
    await spool.publish(a_message())
    assert len(await all_of(reader, 1)) == 1
    assert await reader.fetch(10, NOT_LONG) == []


async def test_a_message_larger_than_the_spool_ever_takes_is_refused_as_such(
    spool_and_reader: tuple[Spool, SpoolReader],
) -> None:
    """NATS takes 8 MiB here; the fake is told to."""
    spool, reader = spool_and_reader
    if isinstance(spool, MemorySpool):
        spool.most_octets = 8 << 20
    with pytest.raises(MessageTooLarge):
        await spool.publish(a_message(octets=b"x" * (8 << 20)))
    assert await reader.fetch(10, NOT_LONG) == []


async def test_an_empty_spool_gives_an_empty_list_in_time(spool_and_reader: tuple[Spool, SpoolReader]) -> None:
    _, reader = spool_and_reader
    async with asyncio.timeout(5):
        assert await reader.fetch(10, NOT_LONG) == []


async def test_a_waiting_fetch_gets_what_comes(spool_and_reader: tuple[Spool, SpoolReader]) -> None:
    spool, reader = spool_and_reader
    fetching = asyncio.create_task(all_of(reader, 1))
    await asyncio.sleep(0)
    await spool.publish(a_message())
    assert [delivery.message.id for delivery in await fetching] == ["1k3v9q2m8f0abcde.1"]


async def test_what_is_put_back_comes_again_after_the_delay(spool_and_reader: tuple[Spool, SpoolReader]) -> None:
    spool, reader = spool_and_reader
    await spool.publish(a_message())
    (delivery,) = await all_of(reader, 1)
    await delivery.keep_alive()
    await delivery.put_back(timedelta(seconds=0.2))
    (again,) = await all_of(reader, 1)
    assert again.message.id == delivery.message.id
    assert again.times_delivered == 2


async def test_the_oldest_moment_is_known_until_all_is_done(spool_and_reader: tuple[Spool, SpoolReader]) -> None:
    spool, reader = spool_and_reader
    assert await reader.oldest_at() is None
    before = datetime.now(UTC) - timedelta(seconds=5)
    await spool.publish(a_message())
    oldest = await reader.oldest_at()
    assert oldest is not None
    assert before < oldest < datetime.now(UTC) + timedelta(seconds=5)
    for delivery in await all_of(reader, 1):
        await delivery.done()

    async def is_empty() -> bool:
        return await reader.oldest_at() is None

    await until(is_empty)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 (another process is waited for)
            await asyncio.sleep(0.02)


@pytest.fixture(params=["memory", "jetstream"])
async def log_and_reader(
    request: pytest.FixtureRequest, nats_server: NatsServer
) -> AsyncIterator[tuple[EventLog, EventReader]]:
    if request.param == "memory":
        memory = MemoryEventLog()
        yield memory, MemoryEventReader(memory)
        return
    async with provisioned_link(nats_server) as link:
        event_log, reader = JetStreamEventLog(link, "edge"), JetStreamEventReader(link)
        yield event_log, reader
        await event_log.close()
        await reader.close()


async def facts_of(reader: EventReader, count: int) -> list[Event]:
    facts: list[Event] = []
    async with asyncio.timeout(10):
        while len(facts) < count:
            for batch in await reader.fetch(16, WAIT):
                facts += batch.events
                await batch.done()
    return facts


async def test_facts_come_in_the_order_recorded(log_and_reader: tuple[EventLog, EventReader]) -> None:
    event_log, reader = log_and_reader
    facts = [an_event(number) for number in range(1000)]
    for fact in facts:
        event_log.record(fact)
    assert await facts_of(reader, 1000) == facts
    assert await reader.fetch(16, NOT_LONG) == []


async def test_flushed_facts_are_in_the_log(log_and_reader: tuple[EventLog, EventReader]) -> None:
    event_log, reader = log_and_reader
    await event_log.flush()
    event_log.record(an_event(1))
    await event_log.flush()
    assert await facts_of(reader, 1) == [an_event(1)]


async def test_many_flushes_at_once_all_end(log_and_reader: tuple[EventLog, EventReader]) -> None:
    event_log, reader = log_and_reader

    async def record_and_flush(number: int) -> None:
        event_log.record(an_event(number))
        await event_log.flush()

    await asyncio.gather(*(record_and_flush(number) for number in range(50)))
    assert {fact.id for fact in await facts_of(reader, 50)} == {f"e{number}" for number in range(50)}


async def test_a_reader_tells_when_all_that_was_there_is_done_with(
    log_and_reader: tuple[EventLog, EventReader],
) -> None:
    event_log, reader = log_and_reader
    assert await reader.wait_until_done(WAIT)
    event_log.record(an_event(1))
    await event_log.flush()
    (batch,) = await reader.fetch(16, WAIT)
    assert not await reader.wait_until_done(NOT_LONG)
    waiting = asyncio.create_task(reader.wait_until_done(WAIT))
    await asyncio.sleep(0)  # it has begun, so what comes now is none of its business
    await batch.done()
    assert await waiting


def test_the_fakes_keep_what_the_suite_saw() -> None:
    """A service's test reads `events` and `messages`."""
    event_log: Any = MemoryEventLog()
    event_log.record(an_event(1))
    assert event_log.events == [an_event(1)]
