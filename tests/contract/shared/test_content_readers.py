"""Many readers of the content store at one time: what is on the way to them has a bound."""

import asyncio

import pytest

from contents import read_all
from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import StoredMessage
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.object_store import MOST_ON_THE_WAY_OCTETS, ObjectContentStore
from tripost_shared.content.writer import CHUNK_OCTETS
from tripost_shared.mail.content import Content

READERS = 200
OCTETS = b"0123456789abcdef" * (9 * CHUNK_OCTETS // 16)  # more than one window


async def stored(store: ObjectContentStore) -> Content:
    writer = store.writer("large")
    await writer.write(OCTETS)
    return await writer.commit()


async def is_read(store: ObjectContentStore, content: Content) -> bool:
    return await read_all(store, content) == OCTETS


async def test_however_many_read_at_one_time_what_is_on_the_way_is_bounded(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we have not read grows in nats-server until it takes us for a slow consumer and cuts us off."""
    on_the_way, most = 0, 0
    fetch = jetstream.direct_batch

    async def fetch_and_count(
        link: NatsLink, stream: str, subject: str, batch: int, sequence: int
    ) -> tuple[list[StoredMessage], int]:
        nonlocal on_the_way, most
        on_the_way += batch * CHUNK_OCTETS
        most = max(most, on_the_way)
        try:
            return await fetch(link, stream, subject, batch, sequence)
        finally:
            on_the_way -= batch * CHUNK_OCTETS

    monkeypatch.setattr(jetstream, "direct_batch", fetch_and_count)
    store = ObjectContentStore(link)
    content = await stored(store)
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(is_read(store, content)) for _ in range(READERS)]
    assert all(task.result() for task in reading)
    assert most == MOST_ON_THE_WAY_OCTETS


async def test_a_busy_process_with_many_readers_keeps_its_connection(link: NatsLink) -> None:
    """Questions, acknowledgements and facts go over the same one."""
    lost: list[None] = []
    link.after_regaining(lambda: lost.append(None))
    store = ObjectContentStore(link)
    content = await stored(store)
    async with asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(is_read(store, content))
    assert link.is_connected
    assert lost == []


async def test_who_is_slow_to_use_what_was_read_keeps_nobody_waiting(link: NatsLink) -> None:
    """Such as a slow next hop."""
    store = ObjectContentStore(link)
    content = await stored(store)
    slow = [store.open(content) for _ in range(2 * MOST_ON_THE_WAY_OCTETS // len(OCTETS))]
    async with asyncio.timeout(10):
        for chunks in slow:
            assert await anext(chunks)
        assert await read_all(store, content) == OCTETS
