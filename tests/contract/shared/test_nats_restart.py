"""What happens to all adapters when nats-server is killed, frozen, restarted, or started late."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from links import PARTITIONS, SMALL, settings_for
from servers import NatsServer
from tripost_shared.bus import nats_client
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import LinkDown, NatsLink
from tripost_shared.bus.port import NoAnswer
from tripost_shared.config.kv import KvConfigPublisher, KvConfigSource
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.content.writer import CHUNK_OCTETS
from tripost_shared.contracts.config import EDGE_KEY, EdgeConfig
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.contracts.subject import Subject
from tripost_shared.kv.jetstream import GREYLIST_BUCKET, JetStreamBucket
from tripost_shared.kv.port import BucketUnavailable
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.provision import provision
from tripost_shared.spool import events
from tripost_shared.spool import jetstream as spool_module
from tripost_shared.spool.jetstream import (
    JetStreamEventLog,
    JetStreamEventReader,
    JetStreamSpool,
    JetStreamSpoolReader,
)
from tripost_shared.spool.port import SpoolUnavailable

WAIT = timedelta(seconds=5)


class Word(msgspec.Struct, frozen=True):
    text: str


ECHO = Subject("test.v1.echo", Word, Word, "test", timedelta(seconds=5), timedelta(seconds=2))


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """A server of this test alone."""
    with NatsServer() as server:
        yield server


@pytest.fixture
async def link(server: NatsServer) -> AsyncIterator[NatsLink]:
    link = await NatsLink.connect(settings_for(server), "test")
    await provision(link, settings_for(server), SMALL)
    yield link
    await link.close()


def a_message(number: int) -> SpooledMessage:
    return SpooledMessage(
        id=f"1k3v9q2m8f0abcde.{number}",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        direction=Direction.INBOUND,
        client=Client("192.0.2.7"),
        envelope=Envelope("", (Recipient("bob@b.example"),)),
        content=Content.of(b"x" * 4000),
    )


def an_event(number: int) -> Event:
    return Event(f"e{number}", "1k3v9q2m8f0abcde.1", datetime(2026, 1, 1, tzinfo=UTC), Fact.ACCEPTED, "edge")


async def echo(question: Word) -> Word:
    return question


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 (another process is waited for)
            await asyncio.sleep(0.02)


async def test_what_was_acknowledged_before_a_kill_is_there_after_it(server: NatsServer, link: NatsLink) -> None:
    """And publishing waits the restart out, so that the client needs no second try."""
    spool = JetStreamSpool(link, PARTITIONS)
    published = 0

    async def publish_some(numbers: range) -> None:
        nonlocal published
        for number in numbers:
            await spool.publish(a_message(number))
            published += 1

    publishing = [asyncio.create_task(publish_some(range(first, 400, 8))) for first in range(1, 9)]
    await until(lambda: published > 100)
    server.kill()
    await asyncio.to_thread(server.start)
    await asyncio.gather(*publishing)
    reader = JetStreamSpoolReader(link, PARTITIONS)
    ids: list[str] = []
    async with asyncio.timeout(20):
        while len(set(ids)) < 399:
            for delivery in await reader.fetch(64, WAIT):
                ids.append(delivery.message.id)
                await delivery.done()
    assert set(ids) == {a_message(number).id for number in range(1, 400)}
    assert len(ids) - len(set(ids)) < 4
    await reader.close()


async def test_a_reader_goes_on_after_a_kill_and_gives_nothing_twice_that_was_done(
    server: NatsServer, link: NatsLink
) -> None:
    spool, reader = JetStreamSpool(link, PARTITIONS), JetStreamSpoolReader(link, PARTITIONS)
    for number in range(1, 11):
        await spool.publish(a_message(number))
    taken = list(await reader.fetch(64, WAIT))
    while len(taken) < 10:
        taken += await reader.fetch(64, WAIT)
    server.kill()
    await until(lambda: not link.is_connected)
    for delivery in taken:
        await delivery.done()
    fetching = asyncio.create_task(reader.fetch(64, timedelta(seconds=20)))
    await asyncio.to_thread(server.start)
    await spool.publish(a_message(11))
    assert [delivery.message.id for delivery in await fetching] == [a_message(11).id]
    await reader.close()


async def test_fetching_without_a_server_says_so(server: NatsServer, link: NatsLink) -> None:
    reader = JetStreamSpoolReader(link, PARTITIONS)
    server.kill()
    await until(lambda: not link.is_connected)
    with pytest.raises(SpoolUnavailable):
        await reader.fetch(64, timedelta(seconds=0.2))
    with pytest.raises(SpoolUnavailable):
        await reader.oldest_at()


async def test_the_bus_fails_fast_without_a_server_and_asks_again_after_it_is_back(
    server: NatsServer, link: NatsLink
) -> None:
    asker, replica = NatsBus(link), await NatsLink.connect(settings_for(server), "replica")
    await NatsBus(replica).serve(ECHO, echo)
    assert await asker.ask(ECHO, Word("before")) == Word("before")
    server.kill()
    await until(lambda: not link.is_connected and not replica.is_connected)
    began = asyncio.get_running_loop().time()
    with pytest.raises(NoAnswer, match="not connected"):
        await asker.ask(ECHO, Word("lost"))
    assert asyncio.get_running_loop().time() - began < 2
    assert not asker.is_connected
    await asyncio.to_thread(server.start)
    assert await link.wait_connected(10)
    assert await replica.wait_connected(10)
    assert await asker.ask(ECHO, Word("after")) == Word("after")
    await replica.close()


async def test_a_question_outlives_a_short_restart_of_the_server(server: NatsServer, link: NatsLink) -> None:
    replica = await NatsLink.connect(settings_for(server), "replica")
    await NatsBus(replica).serve(ECHO, echo)
    server.kill()
    asking = [asyncio.create_task(NatsBus(link).ask(ECHO, Word(str(number)))) for number in range(20)]
    await asyncio.to_thread(server.start)
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, NoAnswer)] == [
        Word(str(number)) for number, answer in enumerate(answers) if not isinstance(answer, NoAnswer)
    ]
    await replica.close()


async def test_facts_recorded_without_a_server_are_written_when_it_is_back(
    server: NatsServer, link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_log, reader = JetStreamEventLog(link, "edge"), JetStreamEventReader(link)
    server.kill()
    await until(lambda: not link.is_connected)
    for number in range(300):
        event_log.record(an_event(number))
    monkeypatch.setattr(events, "FLUSH_SECONDS", 0.1)
    with pytest.raises(SpoolUnavailable):
        await event_log.flush()
    monkeypatch.undo()
    await asyncio.to_thread(server.start)
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
    server: NatsServer, link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_WAITING", 50)
    event_log, reader = JetStreamEventLog(link, "edge"), JetStreamEventReader(link)
    server.kill()
    await until(lambda: not link.is_connected)
    for number in range(200):
        event_log.record(an_event(number))
    await asyncio.to_thread(server.start)
    await event_log.flush()
    (batch,) = await reader.fetch(16, WAIT)
    assert list(batch.events) == [an_event(number) for number in range(150, 200)]
    await event_log.close()
    await reader.close()


async def test_configuration_is_followed_across_a_restart(server: NatsServer, link: NatsLink) -> None:
    source, publisher = KvConfigSource(link), KvConfigPublisher(link)
    watched = await source.watch(EDGE_KEY, EdgeConfig)
    await publisher.put(EDGE_KEY, EdgeConfig(1))
    await until(lambda: watched.current == EdgeConfig(1))
    server.kill()
    await until(lambda: not link.is_connected)
    late = await source.watch(EDGE_KEY, EdgeConfig)
    assert late.current == EdgeConfig()
    await asyncio.to_thread(server.start)
    await until(lambda: late.current == EdgeConfig(1))
    await publisher.put(EDGE_KEY, EdgeConfig(2))
    await until(lambda: watched.current == EdgeConfig(2))
    await source.close()


async def test_stores_say_that_they_are_unavailable(server: NatsServer, link: NatsLink) -> None:
    store, bucket = ObjectContentStore(link), JetStreamBucket(link, GREYLIST_BUCKET)
    writer = store.writer("a")
    await writer.write(b"x" * CHUNK_OCTETS)
    server.kill()
    await until(lambda: not link.is_connected)
    with pytest.raises(ContentUnavailable):
        await writer.commit()
    await writer.abort()
    with pytest.raises(ContentUnavailable):
        await store.read(Content(size_octets=1, stored="a"))
    with pytest.raises(ContentUnavailable):
        await store.list()
    with pytest.raises(BucketUnavailable):
        await bucket.get("a")
    with pytest.raises(BucketUnavailable):
        await bucket.create("a", b"", WAIT)
    with pytest.raises(BucketUnavailable):
        await bucket.keys()


async def test_connecting_waits_for_a_server_that_starts_late(server: NatsServer) -> None:
    server.kill()
    connecting = asyncio.create_task(NatsLink.connect(settings_for(server), "early"))
    await asyncio.sleep(0)
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(10):
        link = await connecting
    assert link.is_connected
    await link.close()
    await link.close()
    with pytest.raises(LinkDown):
        link.publish("a", b"")


async def test_who_waits_for_a_server_can_be_stopped(server: NatsServer) -> None:
    """A service that is told to end while it starts ends."""
    server.kill()
    connecting = asyncio.create_task(NatsLink.connect(settings_for(server), "early"))
    await asyncio.wait({connecting}, timeout=0.3)
    connecting.cancel()
    async with asyncio.timeout(2):
        await asyncio.wait({connecting})
    assert connecting.cancelled()


async def test_a_wrong_password_is_no_reason_to_give_up() -> None:
    """The operator mends the server's users, and the service goes on."""
    users = 'authorization { users: [ { user: "test", password: "right" } ] }'
    with NatsServer(extra=users) as server:
        connecting = asyncio.create_task(NatsLink.connect(settings_for(server), "test"))
        done, _ = await asyncio.wait({connecting}, timeout=0.5)
        assert not done
        server.replace_extra("")
        server.kill()
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(10):
            link = await connecting
        assert link.is_connected
        server.replace_extra(users)
        server.kill()
        await asyncio.to_thread(server.start)
        await until(lambda: not link.is_connected)
        server.replace_extra("")
        server.kill()
        await asyncio.to_thread(server.start)
        assert await link.wait_connected(10)
        await link.close()


async def test_a_frozen_server_is_noticed_and_taken_up_again(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither end sees the connection break: only the pings tell."""
    monkeypatch.setattr(nats_client, "PING_SECONDS", 0.1)
    monkeypatch.setattr(spool_module, "GIVE_UP_SECONDS", 1.0)
    link = await NatsLink.connect(settings_for(server), "test")
    await provision(link, settings_for(server), SMALL)
    spool = JetStreamSpool(link, PARTITIONS)
    os.kill(server.process_id, signal.SIGSTOP)
    try:
        with pytest.raises(SpoolUnavailable):
            await asyncio.gather(*(spool.publish(a_message(number)) for number in range(2000)))
        await until(lambda: not link.is_connected)
    finally:
        os.kill(server.process_id, signal.SIGCONT)
    assert await link.wait_connected(10)
    await spool.publish(a_message(1))
    await link.close()
