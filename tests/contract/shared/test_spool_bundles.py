"""Accepted messages go to the disk in bundles, and each is still a message of its own."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from links import PARTITIONS, settings_for
from servers import NatsServer
from spooled import damaged_message, spooled_message
from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import encode
from tripost_shared.bus.jetstream import JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.spool import SPOOL_SUBJECT
from tripost_shared.spool.bundle import MAX_MESSAGES, MAX_OCTETS
from tripost_shared.spool.jetstream import (
    UNREADABLE_STREAM,
    JetStreamSpool,
    JetStreamSpoolDelivery,
    JetStreamSpoolReader,
    stream_of,
)
from tripost_shared.spool.port import SpoolUnavailable

WAIT = timedelta(seconds=5)
NOT_LONG = timedelta(seconds=0.3)
STREAMS = [stream_of(partition) for partition in range(PARTITIONS)]


@pytest.fixture
def spool(link: NatsLink) -> JetStreamSpool:
    return JetStreamSpool(link, PARTITIONS, MAX_MESSAGES)


@pytest_asyncio.fixture
async def reader(link: NatsLink) -> AsyncIterator[JetStreamSpoolReader]:
    reader = JetStreamSpoolReader(link, PARTITIONS)
    yield reader
    await reader.close()


async def publish(spool: JetStreamSpool, numbers: Sequence[int], size_octets: int = 100) -> set[str]:
    messages = [spooled_message(number, size_octets) for number in numbers]
    await asyncio.gather(*map(spool.publish, messages))
    return {message.id for message in messages}


async def stored(link: NatsLink) -> int:
    counts = [(await jetstream.call(link, f"STREAM.INFO.{name}"))["state"]["messages"] for name in STREAMS]
    return sum(counts)


async def unanswered(link: NatsLink) -> int:
    infos = [await jetstream.call(link, f"CONSUMER.INFO.{name}.deliver") for name in STREAMS]
    return sum(info["num_ack_pending"] + info["num_pending"] for info in infos)


async def fetch_all(reader: JetStreamSpoolReader, count: int) -> list[JetStreamSpoolDelivery]:
    deliveries: list[JetStreamSpoolDelivery] = []
    async with asyncio.timeout(10):
        while len(deliveries) < count:
            deliveries += await reader.fetch(64, WAIT)
    return deliveries


def partition_of(number: int) -> int:
    return zlib.crc32(spooled_message(number).id.encode()) % PARTITIONS


async def test_messages_of_one_moment_share_a_bundle(
    link: NatsLink, spool: JetStreamSpool, reader: JetStreamSpoolReader
) -> None:
    ids = await publish(spool, range(10))
    assert await stored(link) == 1
    deliveries = await fetch_all(reader, 10)
    assert {delivery.message.id for delivery in deliveries} == ids


async def test_a_bundle_has_a_bound_in_messages_and_in_octets(link: NatsLink, spool: JetStreamSpool) -> None:
    await publish(spool, range(2 * MAX_MESSAGES))
    assert await stored(link) == 2
    await publish(spool, range(100, 104), MAX_OCTETS // 2)
    assert await stored(link) == 6


async def test_a_bundle_is_acknowledged_when_the_last_of_its_messages_is_done(
    link: NatsLink, spool: JetStreamSpool, reader: JetStreamSpoolReader
) -> None:
    await publish(spool, range(3))
    first, *others = await fetch_all(reader, 3)
    for delivery in others:
        await delivery.done()
    await link.flush()
    assert await unanswered(link) == 1
    await first.done()
    await link.flush()
    assert await unanswered(link) == 0


async def test_a_message_that_is_put_back_comes_again_without_those_that_are_done(
    spool: JetStreamSpool, reader: JetStreamSpoolReader
) -> None:
    await publish(spool, range(3))
    first, *others = await fetch_all(reader, 3)
    await first.put_back(timedelta(0))
    for delivery in others:
        await delivery.done()
    (again,) = await fetch_all(reader, 1)
    assert again.message.id == first.message.id
    assert again.may_be_repeated
    await again.done()
    assert await reader.fetch(64, NOT_LONG) == []


async def test_another_reader_gets_all_of_it_as_possibly_repeated(
    link: NatsLink, nats_server: NatsServer, spool: JetStreamSpool
) -> None:
    ids = await publish(spool, range(3))
    one = JetStreamSpoolReader(link, PARTITIONS)
    first, *others = await fetch_all(one, 3)
    await first.done()
    for delivery in others:
        await delivery.put_back(timedelta(0))
    await one.close()
    other_link = await NatsLink.connect(settings_for(nats_server), "other")
    two = JetStreamSpoolReader(other_link, PARTITIONS)
    deliveries = await fetch_all(two, 3)
    assert {delivery.message.id for delivery in deliveries} == ids
    assert all(delivery.may_be_repeated for delivery in deliveries)
    await two.close()
    await other_link.close()


@pytest.mark.parametrize(
    "unreadable",
    [
        pytest.param(msgspec.msgpack.encode({"id": 7}), id="another form"),
        pytest.param(damaged_message(2), id="text that is not UTF-8"),
    ],
)
async def test_of_a_bundle_only_what_cannot_be_read_is_parked(
    link: NatsLink, reader: JetStreamSpoolReader, unreadable: bytes
) -> None:
    parts = [msgspec.Raw(encode(spooled_message(1))), msgspec.Raw(unreadable)]
    await jetstream.publish(link, f"{SPOOL_SUBJECT}.0", msgspec.msgpack.encode(parts))
    (delivery,) = await fetch_all(reader, 1)
    await delivery.done()
    assert await reader.fetch(64, NOT_LONG) == []
    parked = await jetstream.call(link, f"STREAM.INFO.{UNREADABLE_STREAM}")
    assert parked["state"]["messages"] == 1
    assert await unanswered(link) == 0


async def test_a_message_as_releases_before_bundles_stored_it_is_delivered(
    link: NatsLink, reader: JetStreamSpoolReader
) -> None:
    await jetstream.publish(link, f"{SPOOL_SUBJECT}.0", encode(spooled_message(1)))
    (delivery,) = await fetch_all(reader, 1)
    assert delivery.message == spooled_message(1)
    await delivery.done()
    assert await reader.fetch(64, NOT_LONG) == []
    assert await unanswered(link) == 0


async def test_a_stream_that_does_not_answer_keeps_no_later_bundle_waiting(
    link: NatsLink, spool: JetStreamSpool
) -> None:
    stuck = next(number for number in range(100) if partition_of(number) == 0)
    other = next(number for number in range(100) if partition_of(number) == 1)
    config = (await jetstream.call(link, f"STREAM.INFO.{STREAMS[0]}"))["config"]
    await jetstream.call(link, f"STREAM.DELETE.{STREAMS[0]}")
    waiting = asyncio.create_task(spool.publish(spooled_message(stuck)))
    await asyncio.sleep(0)
    await link.flush()  # now its bundle is on its way
    async with asyncio.timeout(3):
        await spool.publish(spooled_message(other))
    assert not waiting.done()
    await jetstream.call(link, f"STREAM.CREATE.{STREAMS[0]}", config)
    await waiting


async def test_one_message_too_large_for_a_stream_is_refused_alone(link: NatsLink, spool: JetStreamSpool) -> None:
    for name in STREAMS:
        config = (await jetstream.call(link, f"STREAM.INFO.{name}"))["config"]
        await jetstream.call(link, f"STREAM.UPDATE.{name}", {**config, "max_msg_size": 2000})
    sizes = [100, 3000, 100, 100, 100, 100, 100, 100, 100, 100]
    messages = [spooled_message(number, size) for number, size in enumerate(sizes)]
    results = await asyncio.gather(*map(spool.publish, messages), return_exceptions=True)
    assert [type(result).__name__ for result in results if result is not None] == ["MessageTooLarge"]
    assert results[1] is not None


async def test_who_gives_up_waiting_takes_nobody_with_him(spool: JetStreamSpool, reader: JetStreamSpoolReader) -> None:
    impatient = asyncio.create_task(spool.publish(spooled_message(1)))
    patient = asyncio.create_task(spool.publish(spooled_message(2)))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert spooled_message(2).id in {delivery.message.id for delivery in await fetch_all(reader, 2)}


async def test_with_one_at_a_time_the_same_id_is_kept_once(link: NatsLink) -> None:
    spool = JetStreamSpool(link, PARTITIONS)
    for _ in range(2):
        await spool.publish(spooled_message(1))
    assert await stored(link) == 1


async def test_a_reader_asks_for_no_more_than_a_bundle_over(
    spool: JetStreamSpool, reader: JetStreamSpoolReader
) -> None:
    for start in range(0, 90, MAX_MESSAGES):
        await publish(spool, range(start, start + MAX_MESSAGES))
    taken = 0
    while taken < 90:
        deliveries = await reader.fetch(20, WAIT)
        assert 0 < len(deliveries) < 20 + MAX_MESSAGES
        taken += len(deliveries)
    assert taken == 90


async def test_a_name_that_another_message_was_spooled_under_is_no_acknowledgement(link: NatsLink) -> None:
    """Whoever has made two ids alike, the client keeps a message that the spool has not."""
    one, other = (JetStreamSpool(link, PARTITIONS, MAX_MESSAGES) for _ in range(2))
    await one.publish(spooled_message(1))
    with pytest.raises(SpoolUnavailable, match="another message"):
        await other.publish(spooled_message(1))
    assert await stored(link) == 1


async def test_a_bundle_whose_acknowledgement_got_lost_is_stored_once(
    link: NatsLink, spool: JetStreamSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = jetstream.publish_once

    async def publish_unheard(*arguments: Any) -> bool:
        monkeypatch.undo()
        await publish(*arguments)
        raise JetStreamUnavailable("the acknowledgement was lost")

    monkeypatch.setattr(jetstream, "publish_once", publish_unheard)
    await spool.publish(spooled_message(1))
    assert await stored(link) == 1
