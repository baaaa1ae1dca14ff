"""What becomes of content, in the real store, whose commit was not acknowledged."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contents import read_all
from links import provisioned_link
from servers import NatsServer
from tripost_domains.delivery.contents import ORPHAN_AFTER, Contents
from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import FrozenClock, SystemClock
from tripost_shared.content import writer as content_writer
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.content.writer import STREAM, meta_subject

NAME = "1k3v9q2m8f0abcde.1"
OCTETS = b"A: b\r\n\r\n" + b"x" * 3000


@pytest.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[NatsLink]:
    async with provisioned_link(nats_server) as link:
        yield link


def unheard(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let no commit be acknowledged from now on; what it gives is set once one has been made."""
    publish, committed = jetstream.publish, asyncio.Event()

    async def publish_unheard(link: NatsLink, subject: str, *rest: Any) -> int:
        number = await publish(link, subject, *rest)
        if subject == meta_subject(NAME):
            committed.set()
            raise JetStreamUnavailable("the acknowledgement was lost")
        return number

    monkeypatch.setattr(jetstream, "publish", publish_unheard)
    monkeypatch.setattr(content_writer, "COMMIT_TRIES", 1)
    return committed


async def messages_in_store(link: NatsLink) -> int:
    return await jetstream.count_messages(link, STREAM)


async def test_content_that_another_replica_has_queued_outlives_who_stored_it_once_more(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed, or gives up, before it could hear that it was stored."""
    store = ObjectContentStore(link)
    contents = Contents(store, SystemClock())
    content = await contents.put(NAME, OCTETS)
    committed = unheard(monkeypatch)
    putting = asyncio.create_task(contents.put(NAME, OCTETS))
    async with asyncio.timeout(15):
        await committed.wait()
    putting.cancel()
    await asyncio.wait({putting})
    assert await read_all(store, content) == OCTETS
    assert not await contents.is_missing(content)


async def test_what_a_commit_in_doubt_has_left_is_swept(link: NatsLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edge says 451, and the client sends its message anew, which gets another name."""
    store = ObjectContentStore(link)
    with monkeypatch.context() as patch:
        unheard(patch)
        writer = store.writer(NAME)
        await writer.write(OCTETS)
        with pytest.raises(ContentUnavailable):
            await writer.commit()
        await writer.abort()
    assert await messages_in_store(link) == 2

    async def queued() -> set[str]:
        return set()

    clock = FrozenClock(datetime.now(UTC))
    assert await Contents(store, clock).sweep(None, queued) == 0
    clock.advance(ORPHAN_AFTER + timedelta(minutes=1))
    assert await Contents(store, clock).sweep(None, queued) == 1
    assert await messages_in_store(link) == 0


async def test_a_try_that_was_refused_leaves_nothing(link: NatsLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries go on for as long as an outage lasts, and would fill the store."""
    publish = jetstream.publish

    async def refuse_once(link: NatsLink, subject: str, *rest: Any) -> int:
        if subject == meta_subject(NAME):
            monkeypatch.undo()
            raise JetStreamRefused(10077, "maximum bytes exceeded")
        return await publish(link, subject, *rest)

    monkeypatch.setattr(jetstream, "publish", refuse_once)
    store = ObjectContentStore(link)
    content = await Contents(store, SystemClock()).put(NAME, OCTETS)
    assert await read_all(store, content) == OCTETS
    assert await messages_in_store(link) == 2
