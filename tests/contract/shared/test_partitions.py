"""Mail is taken from all partitions that there are, whatever number of them this reader's setting says."""

import asyncio
from datetime import timedelta

import pytest

from links import SMALL, settings_for
from servers import NatsServer
from spooled import spooled_message
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.provision import provision
from tripost_shared.spool import trimming
from tripost_shared.spool.jetstream import JetStreamSpool, JetStreamSpoolReader
from tripost_shared.spool.partitions import existing_streams, partition_of

WAIT = timedelta(seconds=5)
MESSAGES = 20


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "TRIM_EVERY_SECONDS", 0.05)


async def make_partitions(link: NatsLink, server: NatsServer, number: int) -> None:
    """Provision as a node does that has this number in its settings."""
    await provision(link, settings_for(server).model_copy(update={"spool_partitions": number}), SMALL)


async def take(reader: JetStreamSpoolReader, count: int) -> set[str]:
    """Take and finish messages until there were so many."""
    ids: set[str] = set()
    async with asyncio.timeout(10):
        while len(ids) < count:
            for delivery in await reader.fetch(64, WAIT):
                ids.add(delivery.message.id)
                await delivery.done()
    return ids


async def publish(link: NatsLink, partitions: int) -> set[str]:
    """Spool messages, some in each partition."""
    for number in range(MESSAGES):
        await JetStreamSpool(link, partitions).publish(spooled_message(number))
    ids = {spooled_message(number).id for number in range(MESSAGES)}
    assert await jetstream.count_messages(link, f"SPOOL_{partitions - 1}") > 0
    return ids


async def test_no_mail_is_left_in_partitions_that_are_no_more_used(own_server: NatsServer, own_link: NatsLink) -> None:
    await make_partitions(own_link, own_server, 4)
    published = await publish(own_link, 4)
    reader = JetStreamSpoolReader(own_link, 1)
    assert await reader.oldest_at() is not None
    assert await take(reader, MESSAGES) == published
    async with asyncio.timeout(10):
        while await reader.oldest_at() is not None:  # noqa: ASYNC110 (until all four are trimmed)
            await asyncio.sleep(0.02)
    assert [partition.stream for partition in reader.state().partitions] == ["SPOOL_0", "SPOOL_1", "SPOOL_2", "SPOOL_3"]
    await reader.close()


async def test_the_oldest_moment_counts_partitions_that_are_no_more_used(
    own_server: NatsServer, own_link: NatsLink
) -> None:
    await make_partitions(own_link, own_server, 3)
    await jetstream.publish(own_link, "spool.v1.2", b"one")
    assert await JetStreamSpoolReader(own_link, 1).oldest_at() is not None


async def test_a_partition_that_another_node_makes_later_is_found(own_server: NatsServer, own_link: NatsLink) -> None:
    reader = JetStreamSpoolReader(own_link, 2)
    assert await reader.fetch(64, timedelta(seconds=0.01)) == []
    await make_partitions(own_link, own_server, 5)
    published = await publish(own_link, 5)
    assert await take(reader, MESSAGES) == published
    await reader.close()


async def test_a_partition_that_an_operator_removes_is_missed_only_where_it_is_used(
    own_server: NatsServer, own_link: NatsLink
) -> None:
    await make_partitions(own_link, own_server, 3)
    reader = JetStreamSpoolReader(own_link, 2)
    published = await publish(own_link, 3)
    assert await take(reader, MESSAGES) == published
    await jetstream.call(own_link, "STREAM.DELETE.SPOOL_2")
    async with asyncio.timeout(10):
        while len(reader.state().partitions) != 2:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)
    assert await reader.fetch(64, timedelta(seconds=0.5)) == [], "nothing is wrong"
    await reader.close()


async def test_only_partitions_count_as_such(own_link: NatsLink) -> None:
    """Not the stream of unreadable messages, nor one of an operator's own."""
    await jetstream.call(own_link, "STREAM.CREATE.SPOOL_copy", {"name": "SPOOL_copy", "subjects": ["spool.v1.copy"]})
    assert await existing_streams(own_link) == ["SPOOL_0", "SPOOL_1"]


@pytest.mark.parametrize(
    ("stream", "partition"),
    [("SPOOL_0", 0), ("SPOOL_63", 63), ("SPOOL_07", None), ("SPOOL_UNREADABLE", None), ("EVENTS", None)],
)
def test_a_partitions_number_is_in_its_streams_name(stream: str, partition: int | None) -> None:
    assert partition_of(stream) == partition
