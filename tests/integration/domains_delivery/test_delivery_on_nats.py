"""Delivery from a real SPOOL, with real content store and event log, over a crash of nats-server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from delivery_world import OCTETS, TOP, Delivery, Outside, make_message
from links import PARTITIONS, provisioned_link, until
from next_hop import NextHop
from servers import NatsServer
from tripost_domains.delivery.settings import DeliverySettings
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.spool.events import JetStreamEventLog, JetStreamEventReader
from tripost_shared.spool.jetstream import JetStreamSpool, JetStreamSpoolReader
from tripost_shared.spool.port import SpoolUnavailable

BOB = "bob@other.example"


@pytest.fixture
async def link(own_server: NatsServer) -> AsyncIterator[NatsLink]:
    async with provisioned_link(own_server) as link:
        yield link


@pytest.fixture
async def delivery(link: NatsLink, tmp_path: Path, sqlite_url: str, quick: DeliverySettings) -> AsyncIterator[Delivery]:
    """Delivery over JetStream instead of the fakes."""
    reader = JetStreamSpoolReader(link, PARTITIONS)
    events = JetStreamEventLog(link, "domains")
    outside = Outside(reader, JetStreamSpool(link, PARTITIONS), ObjectContentStore(link), events)
    joined = Delivery(tmp_path, sqlite_url, quick, outside=outside)
    await joined.start()
    yield joined
    await joined.stop()
    await reader.close()
    await events.close()


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    """A nats-server that the test may kill."""
    with NatsServer() as server:
        yield server


async def publish(link: NatsLink, *recipients: str) -> str:
    """Publish until it is acknowledged, as edge's client would have it; gives the message's id."""
    message = make_message(*recipients)
    spool = JetStreamSpool(link, PARTITIONS)
    while True:
        try:
            await spool.publish(message)
        except SpoolUnavailable:
            await asyncio.sleep(0.1)
        else:
            return message.id


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


async def test_mail_reaches_mailbox_and_next_hop_and_its_facts_the_log(delivery: Delivery, link: NatsLink) -> None:
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 Ok"]}) as hop:
        delivery.records.add(f"route other.example {hop.host}:{hop.port} may")
        identifier = await publish(link, "ann@dest.example", BOB)
        await hop.wait_until(lambda hop: len(hop.taken) == 1)
        assert hop.taken[0].content == TOP + OCTETS
    facts = [(fact.message_id, fact.fact) for fact in await facts_of(link, 3)]
    assert sorted(facts) == sorted((identifier, fact) for fact in (Fact.DELIVERED, Fact.DEFERRED, Fact.RELAYED))
    await until(lambda: len(delivery.files()) == 1)


async def test_a_crash_of_nats_server_loses_and_repeats_nothing(
    delivery: Delivery, own_server: NatsServer, link: NatsLink
) -> None:
    first = [await publish(link, "ann@dest.example") for _ in range(30)]
    await until(lambda: len(delivery.files()) > 10)
    await asyncio.to_thread(own_server.kill)
    await asyncio.to_thread(own_server.start)
    second = [await publish(link, "ann@dest.example") for _ in range(30)]
    await until(lambda: len(delivery.files()) == 60)
    assert {fact.message_id for fact in await facts_of(link, 60)} == {*first, *second}
    assert len(delivery.files()) == 60
