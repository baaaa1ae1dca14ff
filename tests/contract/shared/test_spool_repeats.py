"""A message that an earlier taker may have done some of is told apart from one that is certainly fresh."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from links import PARTITIONS, provisioned_link, settings_for, until
from servers import NatsServer
from spooled import spooled_message
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.spool.jetstream import CONSUMER, DURABLE, JetStreamSpool, JetStreamSpoolReader, stream_of
from tripost_shared.spool.memory import MemorySpool
from tripost_shared.spool.port import Spool, SpoolDelivery, SpoolReader
from tripost_shared.spool.pull import Puller

WAIT = timedelta(seconds=5)
STREAMS = [stream_of(partition) for partition in range(PARTITIONS)]


@dataclass
class World:
    """A spool, a reader that waits for its messages, and a way to have the server forget all takers."""

    spool: Spool
    reader: SpoolReader
    forget: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "jetstream"])
async def world(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[World]:
    if request.param == "memory":
        memory = MemorySpool()

        async def forget() -> None:
            memory.forget_takers()

        yield World(memory, memory, forget)
        return
    async with provisioned_link(nats_server) as link:
        reader = JetStreamSpoolReader(link, PARTITIONS)
        await until_pulling(link, reader)
        yield World(JetStreamSpool(link, PARTITIONS), reader, lambda: remove_consumers(link))
        await reader.close()


async def until_pulling(link: NatsLink, reader: JetStreamSpoolReader, readers: int = 1, at_most: int = 64) -> None:
    """Have the reader begin, and wait until the consumers have the pulls of so many readers."""
    assert await reader.fetch(at_most, timedelta(seconds=0.01)) == []
    for stream in STREAMS:
        await until_consumer(link, stream, "num_waiting", readers)


async def until_consumer(link: NatsLink, stream: str, name: str, number: int) -> None:
    """Wait until one of the figures of a stream's consumer is so; there may be no consumer yet."""
    async with asyncio.timeout(10):
        while True:
            try:
                info = await jetstream.call(link, f"CONSUMER.INFO.{stream}.{DURABLE}")
            except jetstream.JetStreamRefused:
                info = {}
            if info.get(name) == number:
                return
            await asyncio.sleep(0.01)


async def remove_consumers(link: NatsLink) -> None:
    for stream in STREAMS:
        await jetstream.call(link, f"CONSUMER.DELETE.{stream}.{DURABLE}")


async def take(reader: SpoolReader, count: int) -> list[SpoolDelivery]:
    taken: list[SpoolDelivery] = []
    async with asyncio.timeout(20):
        while len(taken) < count:
            taken += await reader.fetch(64, WAIT)
    return taken


async def publish(spool: Spool, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await spool.publish(spooled_message(number))


async def test_a_fresh_message_is_no_repetition_and_one_put_back_may_be(world: World) -> None:
    await publish(world.spool, 1, 1)
    (fresh,) = await take(world.reader, 1)
    assert not fresh.may_be_repeated
    await fresh.put_back(timedelta(0))
    (again,) = await take(world.reader, 1)
    assert again.may_be_repeated


async def test_what_was_taken_comes_as_a_possible_repetition_when_the_takers_are_forgotten(world: World) -> None:
    await publish(world.spool, 1, 6)
    assert not any(delivery.may_be_repeated for delivery in await take(world.reader, 6))
    await world.forget()
    again = await take(world.reader, 6)
    assert {(delivery.times_delivered, delivery.may_be_repeated) for delivery in again} == {(1, True)}
    await publish(world.spool, 7, 12)
    later = await take(world.reader, 6)
    assert {delivery.message.id for delivery in later} == {spooled_message(number).id for number in range(7, 13)}
    assert not any(delivery.may_be_repeated for delivery in later)


async def test_what_another_replica_has_acknowledged_comes_as_a_possible_repetition_when_the_consumer_vanishes(
    nats_server: NatsServer,
) -> None:
    async with provisioned_link(nats_server) as link:
        spool = JetStreamSpool(link, PARTITIONS)
        other_link = await NatsLink.connect(settings_for(nats_server), "other")
        one, two = JetStreamSpoolReader(link, PARTITIONS), JetStreamSpoolReader(other_link, PARTITIONS)
        await until_pulling(link, one)
        await publish(spool, 1, 6)
        for delivery in await take(one, 6):
            await delivery.done()
        await until_pulling(other_link, two, readers=2)
        await one.close()
        await remove_consumers(link)
        again = await take(two, 6)
        assert {(delivery.times_delivered, delivery.may_be_repeated) for delivery in again} == {(1, True)}
        await publish(spool, 7, 7)
        (later,) = await take(two, 1)
        assert not later.may_be_repeated
        await two.close()
        await other_link.close()


async def test_what_waits_at_the_start_of_a_reader_may_be_a_repetition(nats_server: NatsServer) -> None:
    """A reader of before may have taken it, and the consumer may have been made anew since."""
    async with provisioned_link(nats_server) as link:
        await publish(JetStreamSpool(link, PARTITIONS), 1, 4)
        reader = JetStreamSpoolReader(link, PARTITIONS)
        assert all(delivery.may_be_repeated for delivery in await take(reader, 4))
        await reader.close()


async def test_what_was_there_when_the_server_crashed_may_be_a_repetition(
    own_server: NatsServer, own_link: NatsLink
) -> None:
    """The server syncs what is published, not what is acknowledged; what waits in a reader's buffer is as doubtful."""
    spool, reader = JetStreamSpool(own_link, PARTITIONS), JetStreamSpoolReader(own_link, PARTITIONS)
    await until_pulling(own_link, reader, at_most=1)
    await publish(spool, 1, 20)
    (first,) = await reader.fetch(1, WAIT)
    assert not first.may_be_repeated
    own_server.kill()
    await until(lambda: not own_link.is_connected)
    (buffered,) = await reader.fetch(1, timedelta(0))
    assert buffered.may_be_repeated
    await asyncio.to_thread(own_server.start)
    await until(lambda: own_link.is_connected)
    seen = {first.message.id, buffered.message.id}
    async with asyncio.timeout(20):
        while len(seen) < 20:
            deliveries = await reader.fetch(64, WAIT)
            assert all(delivery.may_be_repeated for delivery in deliveries)
            seen |= {delivery.message.id for delivery in deliveries}
    for stream in STREAMS:
        await until_consumer(own_link, stream, "num_waiting", 1)
    await publish(spool, 21, 21)
    while not (later := [each for each in await reader.fetch(64, WAIT) if each.message.id not in seen]):
        pass
    assert not later[0].may_be_repeated
    await reader.close()


async def test_a_consumer_that_was_made_anew_while_nobody_pulled_is_known_by_its_count(
    nats_server: NatsServer,
) -> None:
    async with provisioned_link(nats_server) as link:
        puller = Puller(link, ["SPOOL_0"], DURABLE, CONSUMER)
        assert await puller.take(1, 0) == []
        await until_consumer(link, "SPOOL_0", "num_waiting", 1)
        for number in range(5):
            await jetstream.publish(link, "spool.v1.0", b"%d" % number)
        (first,) = await puller.take(1, 5)
        assert not first.may_be_repeated
        await until_consumer(link, "SPOOL_0", "num_ack_pending", 2)  # the second message is in the puller's buffer
        await jetstream.call(link, f"CONSUMER.DELETE.SPOOL_0.{DURABLE}")
        anew = {"stream_name": "SPOOL_0", "config": {"durable_name": DURABLE, "ack_policy": "explicit", **CONSUMER}}
        await jetstream.call(link, f"CONSUMER.DURABLE.CREATE.SPOOL_0.{DURABLE}", anew)
        assert [pulled.message.data for pulled in await puller.take(1, 5)] == [b"1"]
        (again,) = await puller.take(1, 5)
        assert (again.message.data, again.may_be_repeated) == (b"0", True)
        await puller.close()
