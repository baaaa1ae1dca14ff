"""Facts are written in batches that the server takes, whatever it takes; only what is too large by itself is lost."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from links import SMALL, settings_for
from servers import NatsServer
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.provision import provision
from tripost_shared.spool.events import EVENTS_STREAM, JetStreamEventLog, JetStreamEventReader

WAIT = timedelta(seconds=5)
KIB = 1 << 10


@pytest.fixture
async def narrow_link() -> AsyncIterator[NatsLink]:
    """A link to a server that takes messages of 32 KiB at most."""
    with NatsServer(extra="max_payload: 32KB") as server:
        link = await NatsLink.connect(settings_for(server), "test")
        await provision(link, settings_for(server), SMALL)
        yield link
        await link.close()


def a_fact(number: int, size_octets: int) -> Event:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Event(f"e{number}", "1k3v9q2m8f0abcde.1", at, Fact.ACCEPTED, "edge", detail="x" * size_octets)


async def written(link: NatsLink, facts: list[Event], lost: int) -> tuple[list[str], int]:
    """Record facts of which so many are lost; gives the ids of those that came, and in how many batches."""
    event_log, reader = JetStreamEventLog(link, "edge"), JetStreamEventReader(link)
    before = dropped()
    for fact in facts:
        event_log.record(fact)
    await event_log.flush()
    assert dropped() - before == lost
    batches = []
    while sum(len(batch.events) for batch in batches) < len(facts) - lost:
        fetched = await reader.fetch(16, WAIT)
        for batch in fetched:
            await batch.done()
        batches += fetched
    await event_log.close()
    await reader.close()
    return [event.id for batch in batches for event in batch.events], len(batches)


def dropped() -> float:
    return REGISTRY.get_sample_value("tripost_events_dropped_total") or 0.0


async def test_a_batch_is_no_larger_than_the_server_takes(narrow_link: NatsLink) -> None:
    assert narrow_link.max_payload_octets == 32 * KIB
    facts = [a_fact(number, 1000) for number in range(100)]
    ids, batches = await written(narrow_link, facts, lost=0)
    assert ids == [fact.id for fact in facts]
    assert batches == 4


async def test_of_facts_that_are_too_large_for_the_server_no_other_is_dropped(narrow_link: NatsLink) -> None:
    facts = [a_fact(number, 40 * KIB if number in {3, 7} else 1000) for number in range(10)]
    ids, _ = await written(narrow_link, facts, lost=2)
    assert ids == [fact.id for number, fact in enumerate(facts) if number not in {3, 7}]


async def test_a_batch_that_the_stream_refuses_for_its_size_is_split(narrow_link: NatsLink) -> None:
    config: dict[str, Any] = (await jetstream.call(narrow_link, f"STREAM.INFO.{EVENTS_STREAM}"))["config"]
    await jetstream.call(narrow_link, f"STREAM.UPDATE.{EVENTS_STREAM}", {**config, "max_msg_size": 4 * KIB})
    facts = [a_fact(number, 8 * KIB if number == 5 else 1000) for number in range(20)]
    ids, _ = await written(narrow_link, facts, lost=1)
    assert ids == [fact.id for number, fact in enumerate(facts) if number != 5]
