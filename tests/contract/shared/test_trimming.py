"""SPOOL's streams are trimmed up to what is acknowledged, and no further."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
import structlog
from prometheus_client import REGISTRY

from links import PARTITIONS, provisioned_link, until
from servers import NatsServer
from spooled import spooled_message
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.spool import state, trimming
from tripost_shared.spool.jetstream import (
    DURABLE,
    UNREADABLE_STREAM,
    JetStreamSpool,
    JetStreamSpoolDelivery,
    JetStreamSpoolReader,
    stream_of,
)
from tripost_shared.spool.trimming import Trimmer

STREAMS = [stream_of(partition) for partition in range(PARTITIONS)]
MESSAGES = 20


@pytest.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[NatsLink]:
    async with provisioned_link(nats_server) as link:
        yield link


async def stored_in(link: NatsLink) -> list[int]:
    """How many messages each partition holds."""
    infos = [await jetstream.call(link, f"STREAM.INFO.{stream}") for stream in STREAMS]
    return [info["state"]["messages"] for info in infos]


async def stored(link: NatsLink) -> int:
    return sum(await stored_in(link))


async def fetch_all(link: NatsLink, reader: JetStreamSpoolReader) -> Sequence[JetStreamSpoolDelivery]:
    """Spool some messages and take them, in the order in which each partition has them."""
    spool = JetStreamSpool(link, PARTITIONS)
    for number in range(MESSAGES):
        await spool.publish(spooled_message(number))
    deliveries: list[JetStreamSpoolDelivery] = []
    while len(deliveries) < MESSAGES:
        deliveries += await reader.fetch(MESSAGES, timedelta(seconds=5))
    return deliveries


async def test_what_is_not_acknowledged_stays_whatever_came_after_it(link: NatsLink) -> None:
    reader = JetStreamSpoolReader(link, PARTITIONS)
    first, *others = await fetch_all(link, reader)
    for delivery in others:
        await delivery.done()
    await link.flush()
    trimmer = Trimmer(link, STREAMS, DURABLE, UNREADABLE_STREAM, lambda _: None)
    await trimmer.trim()
    assert 1 <= await stored(link) < MESSAGES
    assert (await stored_in(link)).count(0) == PARTITIONS - 1, "a partition of which all is done keeps nothing"
    await reader.close()
    anew = JetStreamSpoolReader(link, PARTITIONS)
    await first.put_back(timedelta(0))
    (again,) = await anew.fetch(MESSAGES, timedelta(seconds=5))
    assert again.message.id == first.message.id
    await again.done()
    await link.flush()
    await trimmer.trim()
    assert await stored(link) == 0
    await anew.close()


async def test_a_reader_tells_how_much_waits_and_what_holds_up_the_trimming(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning comes once, and names the message."""
    monkeypatch.setattr(trimming, "TRIM_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(state, "STUCK_AFTER", timedelta(seconds=0.1))
    reader = JetStreamSpoolReader(link, PARTITIONS)
    with structlog.testing.capture_logs() as logs:
        first, *others = await fetch_all(link, reader)
        for delivery in others:
            await delivery.done()
        await until(lambda: any(partition.is_stuck for partition in reader.state().partitions))
        ((stream, sequence),) = [(it.stream, it.oldest_sequence) for it in reader.state().partitions if it.is_stuck]
        assert str(reader.state()).startswith("0 bundles wait, 1 attempted; ")
        assert REGISTRY.get_sample_value("tripost_spool_attempted", {"stream": stream}) == 1
        await until(lambda: (REGISTRY.get_sample_value("tripost_spool_stuck_seconds", {"stream": stream}) or 0) > 0.3)
        await first.done()
        await until(lambda: str(reader.state()) == "0 bundles wait, 0 attempted")
        await reader.close()
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [(entry["stream"], entry["sequence"]) for entry in warnings] == [(stream, sequence)]


async def test_a_reader_trims_by_itself(link: NatsLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "TRIM_EVERY_SECONDS", 0.05)
    reader = JetStreamSpoolReader(link, PARTITIONS)
    for delivery in await fetch_all(link, reader):
        await delivery.done()
    async with asyncio.timeout(10):
        while await stored(link):  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)
    assert await reader.fetch(MESSAGES, timedelta(0)) == []
    await reader.close()
