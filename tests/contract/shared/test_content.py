"""One behaviour suite for the content store, on the fake and on JetStream's Object Store."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest

from contents import read_all
from links import provisioned_link
from servers import NatsServer
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentMissing, ContentStore, ContentUnavailable
from tripost_shared.content.writer import CHUNK_OCTETS, CHUNKS, STREAM, meta_subject
from tripost_shared.mail.content import Content

SOME_MIB = random.Random(7).randbytes(5 * CHUNK_OCTETS + 12_345)  # noqa: S311 (test data)


@pytest.fixture(params=["memory", "jetstream"])
async def store(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[ContentStore]:
    if request.param == "memory":
        yield MemoryContentStore()
        return
    async with provisioned_link(nats_server) as link:
        yield ObjectContentStore(link)


async def write(store: ContentStore, name: str, octets: bytes, piece: int = 30_000) -> Content:
    writer = store.writer(name)
    for start in range(0, len(octets), piece):
        await writer.write(octets[start : start + piece])
    return await writer.commit()


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x", id="one octet"),
        pytest.param(SOME_MIB[:CHUNK_OCTETS], id="exactly one chunk"),
        pytest.param(SOME_MIB, id="several chunks"),
    ],
)
async def test_what_is_committed_is_read_back(store: ContentStore, octets: bytes) -> None:
    content = await write(store, "1k3v9q2m8f0abcde.1", octets)
    assert content == Content(size_octets=len(octets), stored="1k3v9q2m8f0abcde.1")
    assert await read_all(store, content) == octets


async def test_inline_content_needs_no_object(store: ContentStore) -> None:
    assert await read_all(store, Content.of(b"Hello")) == b"Hello"


async def test_what_is_committed_is_there_until_it_is_deleted(store: ContentStore) -> None:
    assert not await store.has("a")
    await write(store, "a", SOME_MIB)
    assert await store.has("a")
    await store.delete("a")
    assert not await store.has("a")


async def test_a_bucket_that_is_gone_is_no_answer_that_an_object_is(own_link: NatsLink) -> None:
    """Mail would fail whose content comes back with the bucket."""
    await jetstream.call(own_link, f"STREAM.DELETE.{STREAM}")
    with pytest.raises(ContentUnavailable):
        await ObjectContentStore(own_link).has("a")


async def test_what_is_not_committed_is_missing(store: ContentStore) -> None:
    await store.writer("a").write(SOME_MIB)
    assert not await store.has("a")
    with pytest.raises(ContentMissing):
        await read_all(store, Content(size_octets=len(SOME_MIB), stored="a"))
    assert await store.list() == []


async def test_what_is_aborted_is_gone(store: ContentStore) -> None:
    writer = store.writer("a")
    await writer.write(SOME_MIB)
    await writer.abort()
    assert await store.list() == []


async def test_an_abort_takes_back_nothing_that_was_committed(store: ContentStore) -> None:
    writer = store.writer("a")
    await writer.write(SOME_MIB)
    content = await writer.commit()
    await writer.abort()
    assert await read_all(store, content) == SOME_MIB


async def test_an_object_of_another_size_is_missing(store: ContentStore) -> None:
    await write(store, "a", b"Hello")
    with pytest.raises(ContentMissing):
        await read_all(store, Content(size_octets=6, stored="a"))


async def test_a_second_commit_replaces_the_first(store: ContentStore) -> None:
    await write(store, "a", SOME_MIB)
    content = await write(store, "a", b"new")
    assert await read_all(store, content) == b"new"
    assert [stored.size_octets for stored in await store.list()] == [3]


async def test_deleting_removes_and_may_be_repeated(store: ContentStore) -> None:
    content = await write(store, "a", SOME_MIB)
    await write(store, "b", b"stays")
    await store.delete("a")
    await store.delete("a")
    with pytest.raises(ContentMissing):
        await read_all(store, content)
    assert [stored.name for stored in await store.list()] == ["b"]


async def test_what_was_committed_later_than_the_one_to_delete_stays(store: ContentStore) -> None:
    await write(store, "a", b"former")
    (former,) = await store.list()
    content = await write(store, "a", b"new")
    await store.delete("a", committed_by=former.stored_at)
    assert await read_all(store, content) == b"new"
    (new,) = await store.list()
    await store.delete("a", committed_by=new.stored_at)
    assert await store.list() == []


async def test_the_list_tells_name_size_and_time(store: ContentStore) -> None:
    for number in range(300):
        await write(store, f"object/{number}", b"x" * number)
    stored = {each.name: each for each in await store.list()}
    assert {name: each.size_octets for name, each in stored.items()} == {f"object/{n}": n for n in range(300)}
    assert all(abs(datetime.now(UTC) - each.stored_at) < timedelta(minutes=1) for each in stored.values())


async def test_other_clients_read_our_objects_and_we_theirs(link: NatsLink, nats_server: NatsServer) -> None:
    """The wire format is that of NATS' Object Store (ADR-20)."""
    ours = await write(ObjectContentStore(link), "ours", SOME_MIB)
    client = await nats.connect(nats_server.url)
    bucket = await client.jetstream().object_store("CONTENT")
    theirs = await bucket.get("ours")
    assert theirs.data == SOME_MIB
    assert theirs.info.size == ours.size_octets
    await bucket.put("theirs", SOME_MIB)
    assert await read_all(ObjectContentStore(link), Content(size_octets=len(SOME_MIB), stored="theirs")) == SOME_MIB
    await bucket.delete("theirs")
    assert [stored.name for stored in await ObjectContentStore(link).list()] == ["ours"]
    await client.close()


async def test_nothing_of_a_deleted_or_replaced_object_stays_in_the_stream(link: NatsLink) -> None:
    store = ObjectContentStore(link)
    await write(store, "a", SOME_MIB)
    await write(store, "a", SOME_MIB)
    assert await messages_in(link) == 6 + 1
    await store.delete("a")
    assert await messages_in(link) == 0


async def test_what_is_committed_while_the_former_object_is_deleted_stays(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectContentStore(link)
    await write(store, "a", b"former")
    look_up = jetstream.last_message

    async def look_up_then_commit(link: NatsLink, stream: str, subject: str) -> jetstream.StoredMessage | None:
        found = await look_up(link, stream, subject)
        monkeypatch.undo()
        await write(store, "a", SOME_MIB)
        return found

    monkeypatch.setattr(jetstream, "last_message", look_up_then_commit)
    await store.delete("a")
    assert await read_all(store, Content(size_octets=len(SOME_MIB), stored="a")) == SOME_MIB
    assert await messages_in(link) == 6 + 1


async def test_a_missing_chunk_is_noticed(link: NatsLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tripost_shared.content.object_store.CATCH_UP_SECONDS", 0.01)
    store = ObjectContentStore(link)
    content = await write(store, "a", SOME_MIB)
    await jetstream.call(link, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 3})
    with pytest.raises(ContentMissing, match="damaged"):
        await read_all(store, content)


async def test_an_object_that_has_lost_a_chunk_is_not_there_and_one_committed_anew_meanwhile_is(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for it would wait for ever."""
    store = ObjectContentStore(link)
    await write(store, "a", SOME_MIB)
    await write(store, "b", SOME_MIB)
    await jetstream.call(link, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 3})
    assert not await store.has("a")
    assert await store.has("b")
    call = jetstream.call

    async def look_up_then_commit(link: NatsLink, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        found = await call(link, endpoint, body)
        monkeypatch.undo()
        await write(store, "a", SOME_MIB)
        return found

    monkeypatch.setattr(jetstream, "call", look_up_then_commit)
    assert await store.has("a")


async def test_an_object_whose_meta_message_cannot_be_read_is_there(link: NatsLink) -> None:
    """Nobody knows what it lacks."""
    await jetstream.publish(link, meta_subject("a"), b"garbage")
    assert await ObjectContentStore(link).has("a")


async def test_chunks_in_a_wrong_order_are_noticed(link: NatsLink) -> None:
    """The digest covers the order too."""
    store = ObjectContentStore(link)
    content = await write(store, "a", SOME_MIB)
    (first,) = [m async for m in jetstream.scan(link, STREAM, f"{CHUNKS}>") if m.sequence == 1]
    await jetstream.publish(link, first.subject, first.data)
    await jetstream.call(link, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 1})
    with pytest.raises(ContentMissing, match="damaged"):
        await read_all(store, content)


async def test_only_chunks_without_meta_that_are_old_are_orphans(link: NatsLink) -> None:
    """A writer that was killed leaves them."""
    store = ObjectContentStore(link)
    content = await write(store, "kept", SOME_MIB)
    await store.writer("killed").write(SOME_MIB)
    await link.flush()
    assert await store.delete_orphans(timedelta(hours=1)) == 0
    assert await store.delete_orphans(timedelta(0)) == 1
    assert await messages_in(link) == 6 + 1
    assert await read_all(store, content) == SOME_MIB


async def messages_in(link: NatsLink) -> int:
    count: int = (await jetstream.call(link, f"STREAM.INFO.{STREAM}"))["state"]["messages"]
    return count
