"""A reader of the spool holds no more than it can hand out soon, and nobody loses time by it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from links import PARTITIONS, provisioned_link, settings_for, until
from servers import NatsServer
from spooled import spooled_message
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.spool import buffer, pull
from tripost_shared.spool.bundle import MAX_MESSAGES
from tripost_shared.spool.jetstream import DURABLE, JetStreamSpool, JetStreamSpoolReader, stream_of

WAIT = timedelta(seconds=5)
STREAMS = [stream_of(partition) for partition in range(PARTITIONS)]
BUNDLES = 40


@pytest.fixture
async def other_link(nats_server: NatsServer, link: NatsLink) -> AsyncIterator[NatsLink]:
    other = await NatsLink.connect(settings_for(nats_server), "other")
    yield other
    await other.close()


@pytest.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[NatsLink]:
    async with provisioned_link(nats_server) as link:
        yield link


async def publish_bundles(link: NatsLink, count: int) -> None:
    spool = JetStreamSpool(link, PARTITIONS, MAX_MESSAGES)
    for start in range(0, count * MAX_MESSAGES, MAX_MESSAGES):
        messages = [spooled_message(number, 20) for number in range(start, start + MAX_MESSAGES)]
        await asyncio.gather(*map(spool.publish, messages))


async def consumers(link: NatsLink, name: str) -> int:
    """Add up one of the figures of all consumers."""
    infos = [await jetstream.call(link, f"CONSUMER.INFO.{stream}.{DURABLE}") for stream in STREAMS]
    return sum(info[name] for info in infos)


async def until_enough_is_held(link: NatsLink, messages: int) -> int:
    """Wait until so many are in the reader's hands and it asks for no more; gives how many there are."""
    async with asyncio.timeout(10):
        while True:
            held = await consumers(link, "num_ack_pending") * MAX_MESSAGES
            if held >= messages and not await consumers(link, "num_waiting"):
                return held
            await asyncio.sleep(0.02)  # the server tells nobody


async def test_a_reader_holds_about_as_many_messages_as_are_wanted_whatever_bundles_they_come_in(
    link: NatsLink,
) -> None:
    await publish_bundles(link, BUNDLES)
    reader = JetStreamSpoolReader(link, PARTITIONS)
    taken = await reader.fetch(64, WAIT)
    held = await until_enough_is_held(link, 64 + len(taken)) - len(taken)
    assert held <= 64 + PARTITIONS * MAX_MESSAGES
    await reader.close()


async def test_what_nobody_asks_for_goes_to_another_reader(
    link: NatsLink, other_link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is full, or waits for a database, would keep it for a while."""
    monkeypatch.setattr(pull, "TEND_SECONDS", 0.05)
    one, two = JetStreamSpoolReader(link, PARTITIONS), JetStreamSpoolReader(other_link, PARTITIONS)
    await publish_bundles(link, 3)
    taken = [delivery.message.id for delivery in await one.fetch(1, WAIT)]
    monkeypatch.setattr(buffer, "HOPE_SECONDS", 0.2)
    async with asyncio.timeout(15):
        while len(set(taken)) < 3 * MAX_MESSAGES:
            taken += [delivery.message.id for delivery in await two.fetch(64, WAIT)]
    assert taken.count(taken[0]) == 1, "what is in somebody's hands went to another, too"
    await one.close()
    await two.close()


async def test_the_server_hears_of_what_waits_while_somebody_asks(
    link: NatsLink, other_link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a slow taker does not get its own backlog again and again."""
    monkeypatch.setattr(pull, "TEND_SECONDS", 0.05)
    words: list[Incoming] = []
    other_link.subscribe("$JS.ACK.>", words.append)
    await other_link.flush()
    reader = JetStreamSpoolReader(link, PARTITIONS)
    await publish_bundles(link, 3)
    await reader.fetch(1, WAIT)
    await until(lambda: len(words) >= 4)
    assert {word.data for word in words} == {b"+WPI"}
    assert {delivery.times_delivered for delivery in await reader.fetch(1, WAIT)} == {1}
    await reader.close()
