"""Commits of the real content store that were not acknowledged, or that two make of one name."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from contents import read_all
from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content import writer as content_writer
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.content.writer import CHUNK_OCTETS, STREAM, meta_subject
from tripost_shared.mail.content import Content

SOME_MIB = random.Random(7).randbytes(5 * CHUNK_OCTETS + 12_345)  # noqa: S311 (test data)
WHOLE = Content(size_octets=len(SOME_MIB), stored="a")
PUBLISH = jetstream.publish
Publish = Callable[..., Awaitable[int]]


@pytest.fixture
async def store(link: NatsLink) -> ObjectContentStore:
    """A store that has an object "a"."""
    store = ObjectContentStore(link)
    await write(store)
    return store


async def test_an_abort_leaves_whole_what_may_be_readable(
    store: ObjectContentStore, link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(jetstream, "publish", on_meta(unheard))
        patch.setattr(content_writer, "COMMIT_TRIES", 1)
        await write_in_vain(store)
    assert await read_all(store, WHOLE) == SOME_MIB
    await write(store)
    assert await store.delete_orphans(timedelta(0)) == 1  # the former one, which nobody has removed
    assert await messages_in(link) == 6 + 1


async def test_an_abort_removes_what_was_refused(
    store: ObjectContentStore, link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(jetstream, "publish", on_meta(refused))
        await write_in_vain(store)
    assert await read_all(store, WHOLE) == SOME_MIB
    assert await messages_in(link) == 6 + 1


async def test_who_is_cancelled_while_the_former_object_is_removed_leaves_a_whole_one(
    store: ObjectContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    writer = store.writer("a")
    await writer.write(SOME_MIB)
    with monkeypatch.context() as patch:
        patch.setattr(jetstream, "purge", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await writer.commit()
    await writer.abort()
    assert await read_all(store, WHOLE) == SOME_MIB


async def test_a_commit_that_comes_late_replaces_nothing(
    store: ObjectContentStore, link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its chunks were removed by whoever took it for the former object."""
    sent: list[tuple[Any, ...]] = []

    async def slow(*arguments: Any) -> int:
        sent.append(arguments)
        raise JetStreamUnavailable("no answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(jetstream, "publish", on_meta(slow))
        await write_in_vain(store)
    await write(store)
    with pytest.raises(JetStreamRefused):
        await jetstream.publish(*sent[0])
    assert await read_all(store, WHOLE) == SOME_MIB


async def test_who_commits_what_another_has_committed_meanwhile_leaves_it(
    store: ObjectContentStore, link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = jetstream.last_message

    async def look_up_then_commit(link: NatsLink, stream: str, subject: str) -> jetstream.StoredMessage | None:
        found = await look_up(link, stream, subject)
        monkeypatch.undo()
        await write(store)
        return found

    monkeypatch.setattr(jetstream, "last_message", look_up_then_commit)
    await write_in_vain(store)
    assert await read_all(store, WHOLE) == SOME_MIB
    assert await messages_in(link) == 6 + 1


async def test_a_commit_is_said_again_when_it_was_not_acknowledged(
    store: ObjectContentStore, link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard_once(*arguments: Any) -> int:
        monkeypatch.undo()
        return await unheard(*arguments)

    monkeypatch.setattr(jetstream, "publish", on_meta(unheard_once))
    assert await write(store) == WHOLE
    assert await read_all(store, WHOLE) == SOME_MIB
    assert await messages_in(link) == 6 + 1


async def test_a_commit_that_is_refused_when_it_is_said_again_may_be_readable(
    store: ObjectContentStore, link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stored at the first try, which nobody heard."""
    publishing = iter((unheard, refused))

    async def unheard_then_refused(*arguments: Any) -> int:
        return await next(publishing)(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(jetstream, "publish", on_meta(unheard_then_refused))
        await write_in_vain(store)
    assert await read_all(store, WHOLE) == SOME_MIB


async def test_a_commit_that_is_said_again_does_not_replace_another_one(
    store: ObjectContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its chunks are gone, since that one took it for the former object."""

    async def replaced_unheard(*arguments: Any) -> int:
        monkeypatch.undo()
        await jetstream.publish(*arguments)
        await write(store)
        raise JetStreamUnavailable("the acknowledgement was lost")

    monkeypatch.setattr(jetstream, "publish", on_meta(replaced_unheard))
    await write_in_vain(store)
    assert await read_all(store, WHOLE) == SOME_MIB


def on_meta(publish: Publish) -> Publish:
    """Publish meta messages so, and all else as ever."""

    async def publish_it(link: NatsLink, subject: str, *rest: Any) -> int:
        return await (publish if subject == meta_subject("a") else PUBLISH)(link, subject, *rest)

    return publish_it


async def unheard(*arguments: Any) -> int:
    """Publish; the acknowledgement gets lost."""
    await PUBLISH(*arguments)
    raise JetStreamUnavailable("the acknowledgement was lost")


async def refused(*_: Any) -> int:
    """Publish nothing."""
    raise JetStreamRefused(10077, "maximum bytes exceeded")


async def write_in_vain(store: ObjectContentStore) -> None:
    """Write "a" once more, and abort since that fails."""
    writer = store.writer("a")
    await writer.write(SOME_MIB)
    with pytest.raises(ContentUnavailable):
        await writer.commit()
    await writer.abort()


async def write(store: ObjectContentStore) -> Content:
    """Write "a"."""
    writer = store.writer("a")
    await writer.write(SOME_MIB)
    return await writer.commit()


async def messages_in(link: NatsLink) -> int:
    count: int = (await jetstream.call(link, f"STREAM.INFO.{STREAM}"))["state"]["messages"]
    return count
