"""What happens to spool, event log, configuration and stores when nats-server is killed and restarted."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from config_publisher import KvConfigPublisher
from contents import read_all
from links import PARTITIONS, until
from servers import NatsServer
from spooled import spooled_message
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config.kv import KvConfigSource
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.content.writer import CHUNK_OCTETS
from tripost_shared.contracts.config import EDGE_KEY, EdgeConfig
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.kv.jetstream import GREYLIST_BUCKET, JetStreamBucket
from tripost_shared.kv.port import BucketUnavailable
from tripost_shared.mail.content import Content
from tripost_shared.spool import events
from tripost_shared.spool.jetstream import (
    JetStreamEventLog,
    JetStreamEventReader,
    JetStreamSpool,
    JetStreamSpoolReader,
)
from tripost_shared.spool.port import SpoolUnavailable

WAIT = timedelta(seconds=5)


def an_event(number: int) -> Event:
    return Event(f"e{number}", "1k3v9q2m8f0abcde.1", datetime(2026, 1, 1, tzinfo=UTC), Fact.ACCEPTED, "edge")


async def test_what_was_acknowledged_before_a_kill_is_there_after_it(
    own_server: NatsServer, own_link: NatsLink
) -> None:
    """And publishing waits the restart out, so that the client needs no second try."""
    spool = JetStreamSpool(own_link, PARTITIONS)
    published = 0

    async def publish_some(numbers: range) -> None:
        nonlocal published
        for number in numbers:
            await spool.publish(spooled_message(number))
            published += 1

    publishing = [asyncio.create_task(publish_some(range(first, 400, 8))) for first in range(1, 9)]
    await until(lambda: published > 100)
    own_server.kill()
    await asyncio.to_thread(own_server.start)
    await asyncio.gather(*publishing)
    reader = JetStreamSpoolReader(own_link, PARTITIONS)
    ids: list[str] = []
    async with asyncio.timeout(20):
        while len(set(ids)) < 399:
            for delivery in await reader.fetch(64, WAIT):
                ids.append(delivery.message.id)
                await delivery.done()
    assert set(ids) == {spooled_message(number).id for number in range(1, 400)}
    assert len(ids) - len(set(ids)) < 4
    await reader.close()


async def test_a_reader_goes_on_after_a_kill_and_gives_nothing_twice_that_was_done(
    own_server: NatsServer, own_link: NatsLink
) -> None:
    spool, reader = JetStreamSpool(own_link, PARTITIONS), JetStreamSpoolReader(own_link, PARTITIONS)
    for number in range(1, 11):
        await spool.publish(spooled_message(number))
    taken = list(await reader.fetch(64, WAIT))
    while len(taken) < 10:
        taken += await reader.fetch(64, WAIT)
    own_server.kill()
    await until(lambda: not own_link.is_connected)
    for delivery in taken:
        await delivery.done()
    fetching = asyncio.create_task(reader.fetch(64, timedelta(seconds=20)))
    await asyncio.to_thread(own_server.start)
    await spool.publish(spooled_message(11))
    assert [delivery.message.id for delivery in await fetching] == [spooled_message(11).id]
    await reader.close()


async def test_fetching_without_a_server_says_so(own_server: NatsServer, own_link: NatsLink) -> None:
    reader = JetStreamSpoolReader(own_link, PARTITIONS)
    own_server.kill()
    await until(lambda: not own_link.is_connected)
    with pytest.raises(SpoolUnavailable):
        await reader.fetch(64, timedelta(seconds=0.2))
    with pytest.raises(SpoolUnavailable):
        await reader.oldest_at()


async def test_facts_recorded_without_a_server_are_written_when_it_is_back(
    own_server: NatsServer, own_link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_log, reader = JetStreamEventLog(own_link, "edge"), JetStreamEventReader(own_link)
    own_server.kill()
    await until(lambda: not own_link.is_connected)
    for number in range(300):
        event_log.record(an_event(number))
    monkeypatch.setattr(events, "FLUSH_SECONDS", 0.1)
    with pytest.raises(SpoolUnavailable):
        await event_log.flush()
    monkeypatch.undo()
    await asyncio.to_thread(own_server.start)
    await event_log.flush()
    facts: list[Event] = []
    while len(facts) < 300:
        for batch in await reader.fetch(16, WAIT):
            facts += batch.events
            await batch.done()
    assert facts == [an_event(number) for number in range(300)]
    await event_log.close()
    await reader.close()


async def test_the_oldest_facts_go_when_the_log_is_away_for_long(
    own_server: NatsServer, own_link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_WAITING", 50)
    event_log, reader = JetStreamEventLog(own_link, "edge"), JetStreamEventReader(own_link)
    own_server.kill()
    await until(lambda: not own_link.is_connected)
    for number in range(200):
        event_log.record(an_event(number))
    await asyncio.to_thread(own_server.start)
    await event_log.flush()
    (batch,) = await reader.fetch(16, WAIT)
    assert list(batch.events) == [an_event(number) for number in range(150, 200)]
    await event_log.close()
    await reader.close()


async def test_configuration_is_followed_across_a_restart(own_server: NatsServer, own_link: NatsLink) -> None:
    source, publisher = KvConfigSource(own_link), KvConfigPublisher(own_link)
    watched = await source.watch(EDGE_KEY, EdgeConfig)
    await publisher.put(EDGE_KEY, EdgeConfig(1))
    await until(lambda: watched.current == EdgeConfig(1))
    own_server.kill()
    await until(lambda: not own_link.is_connected)
    late = await source.watch(EDGE_KEY, EdgeConfig)
    assert late.current == EdgeConfig()
    await asyncio.to_thread(own_server.start)
    await until(lambda: late.current == EdgeConfig(1))
    await publisher.put(EDGE_KEY, EdgeConfig(2))
    await until(lambda: watched.current == EdgeConfig(2))
    await source.close()


async def test_stores_say_that_they_are_unavailable(own_server: NatsServer, own_link: NatsLink) -> None:
    store, bucket = ObjectContentStore(own_link), JetStreamBucket(own_link, GREYLIST_BUCKET)
    writer = store.writer("a")
    await writer.write(b"x" * CHUNK_OCTETS)
    own_server.kill()
    await until(lambda: not own_link.is_connected)
    with pytest.raises(ContentUnavailable):
        await writer.commit()
    await writer.abort()
    with pytest.raises(ContentUnavailable):
        await read_all(store, Content(size_octets=1, stored="a"))
    with pytest.raises(ContentUnavailable):
        await store.list()
    with pytest.raises(BucketUnavailable):
        await bucket.get("a")
    with pytest.raises(BucketUnavailable):
        await bucket.create("a", b"", WAIT)
    with pytest.raises(BucketUnavailable):
        await bucket.keys()
