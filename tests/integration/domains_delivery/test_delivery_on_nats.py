"""Delivery from a real SPOOL, with real content store and event log, over a crash of nats-server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from delivery_world import BOB, OCTETS, TOP, Delivery, Outside, make_message, route
from links import PARTITIONS, provisioned_link, until
from next_hop import NextHop
from servers import NatsServer
from tripost_domains.delivery.settings import DeliverySettings
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.spool.bundle import MAX_MESSAGES
from tripost_shared.spool.events import JetStreamEventLog, JetStreamEventReader
from tripost_shared.spool.jetstream import JetStreamSpool, JetStreamSpoolReader, stream_of
from tripost_shared.spool.port import SpoolUnavailable


@pytest.fixture
async def link(own_server: NatsServer) -> AsyncIterator[NatsLink]:
    async with provisioned_link(own_server) as link:
        yield link


@pytest.fixture
async def delivery(link: NatsLink, tmp_path: Path, sqlite_url: str, quick: DeliverySettings) -> AsyncIterator[Delivery]:
    """Delivery over JetStream instead of the fakes; the facts are the test's."""
    async with delivering(link, tmp_path, sqlite_url, quick) as delivery:
        yield delivery


@asynccontextmanager
async def delivering(
    link: NatsLink,
    folder: Path,
    database_url: str,
    settings: DeliverySettings,
    *,
    is_tracked: bool = False,
) -> AsyncIterator[Delivery]:
    """One life of domains: it begins with nothing in memory. `is_tracked`: the facts go to the tracking."""
    reader = JetStreamSpoolReader(link, PARTITIONS)
    events = JetStreamEventLog(link, "domains")
    facts = JetStreamEventReader(link) if is_tracked else None
    outside = Outside(reader, JetStreamSpool(link, PARTITIONS), ObjectContentStore(link), events, facts)
    joined = Delivery(folder, database_url, settings, outside=outside)
    await joined.start()
    yield joined
    await joined.stop()
    await reader.close()
    await events.close()
    if facts is not None:
        await facts.close()


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    """A nats-server that the test may kill."""
    with NatsServer() as server:
        yield server


@pytest.fixture
def edge(link: NatsLink) -> JetStreamSpool:
    """The spool as edge has it: messages of one moment go together."""
    return JetStreamSpool(link, PARTITIONS, MAX_MESSAGES)


async def publish(spool: JetStreamSpool, *recipients: str) -> str:
    """Publish until it is acknowledged, as edge's client would have it; gives the message's id."""
    message = make_message(*recipients)
    while True:
        try:
            await spool.publish(message)
        except SpoolUnavailable:
            await asyncio.sleep(0.1)
        else:
            return message.id


async def publish_together(spool: JetStreamSpool, *recipients: str) -> list[str]:
    """Publish a message to each at one moment; gives their ids."""
    return await asyncio.gather(*(publish(spool, recipient) for recipient in recipients))


async def bundles_in(link: NatsLink) -> int:
    """How much the spool's streams hold, trimmed or not."""
    return sum([await jetstream.count_messages(link, stream_of(partition)) for partition in range(PARTITIONS)])


async def facts_of(link: NatsLink, count: int) -> list[Event]:
    """Read facts until there are so many."""
    reader = JetStreamEventReader(link)
    found: list[Event] = []
    async with asyncio.timeout(15):
        while len(found) < count:
            for batch in await reader.fetch(10, timedelta(seconds=0.2)):
                found += batch.events
                await batch.done()
    await reader.close()
    return found


async def test_mail_reaches_mailbox_and_next_hop_and_its_facts_the_log(
    delivery: Delivery, edge: JetStreamSpool, link: NatsLink
) -> None:
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        delivery.records.add(f"route other.example {hop.host}:{hop.port} may")
        identifier = await publish(edge, "ann@dest.example", BOB)
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
        assert hop.taken[0].content == TOP + OCTETS
    facts = [(fact.message_id, fact.fact) for fact in await facts_of(link, 3)]
    assert sorted(facts) == sorted((identifier, fact) for fact in (Fact.DELIVERED, Fact.DEFERRED, Fact.RELAYED))
    await until(lambda: len(delivery.files()) == 1)


async def test_a_crash_of_nats_server_loses_and_repeats_nothing(
    delivery: Delivery, own_server: NatsServer, edge: JetStreamSpool, link: NatsLink
) -> None:
    first = await publish_together(edge, *["ann@dest.example"] * 30)
    await until(lambda: len(delivery.files()) > 10)
    await asyncio.to_thread(own_server.kill)
    await asyncio.to_thread(own_server.start)
    second = await publish_together(edge, *["ann@dest.example"] * 30)
    await until(lambda: len(delivery.files()) == 60)
    assert {fact.message_id for fact in await facts_of(link, 60)} == {*first, *second}
    assert len(delivery.files()) == 60


async def test_of_a_bundle_that_is_half_done_when_domains_ends_the_next_one_does_the_other_half(
    link: NatsLink, edge: JetStreamSpool, tmp_path: Path, sqlite_url: str, quick: DeliverySettings
) -> None:
    """The spool gives all of it again; the tracking knows what was done."""
    patient = quick.model_copy(update={"relay_command_seconds": 60.0})
    async with NextHop() as hop, NextHop(silent_at={"RCPT"}) as slow:
        async with delivering(link, tmp_path, sqlite_url, patient, is_tracked=True) as first:
            route(first, hop)
            route(first, slow, "slow.example")
            await publish_together(edge, "ann@dest.example", BOB, "eve@slow.example")
            assert await bundles_in(link) == 1
            await hop.wait_until(lambda hop: len(hop.taken) == 1)
            await until(lambda: len(first.files()) == 1 and first.service.messages_at_hand == 1)
            first.files()[0].unlink()  # its reader has read it
        slow.silent_at.clear()
        async with delivering(link, tmp_path, sqlite_url, patient, is_tracked=True) as second:
            route(second, hop)
            route(second, slow, "slow.example")
            await slow.wait_until(lambda hop: len(hop.taken) == 1)
            await until(lambda: second.service.messages_at_hand == 0)
            assert second.files() == []
    assert len(hop.transactions) == 1
