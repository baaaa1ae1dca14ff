"""One behaviour suite for buckets, on the fake and on JetStream KV."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from links import provisioned_link
from servers import NatsServer
from tripost_shared.clock import FrozenClock
from tripost_shared.kv.jetstream import GREYLIST_BUCKET, JetStreamBucket
from tripost_shared.kv.memory import MemoryBucket
from tripost_shared.kv.port import Bucket, Conflict

Wait = Callable[[timedelta], Awaitable[None]]
LONG = timedelta(hours=1)
KEY = "triplet.192/0/2-a_b=c"


@pytest.fixture(params=["memory", "jetstream"])
async def bucket_and_wait(
    request: pytest.FixtureRequest, nats_server: NatsServer, clock: FrozenClock
) -> AsyncIterator[tuple[Bucket, Wait]]:
    """The bucket, and how its time passes."""
    if request.param == "memory":

        async def advance(by: timedelta) -> None:
            clock.advance(by)

        yield MemoryBucket(clock), advance
        return

    async def sleep(by: timedelta) -> None:
        await asyncio.sleep(by.total_seconds())

    async with provisioned_link(nats_server) as link:
        yield JetStreamBucket(link, GREYLIST_BUCKET), sleep


@pytest.fixture
def bucket(bucket_and_wait: tuple[Bucket, Wait]) -> Bucket:
    return bucket_and_wait[0]


async def test_what_was_created_is_found(bucket: Bucket) -> None:
    revision = await bucket.create(KEY, b"one", LONG)
    entry = await bucket.get(KEY)
    assert entry is not None
    assert (entry.value, entry.revision) == (b"one", revision)


async def test_an_unknown_key_is_none(bucket: Bucket) -> None:
    assert await bucket.get(KEY) is None


async def test_creating_twice_is_a_conflict(bucket: Bucket) -> None:
    await bucket.create(KEY, b"one", LONG)
    with pytest.raises(Conflict):
        await bucket.create(KEY, b"two", LONG)


async def test_of_two_that_create_at_once_one_wins(bucket: Bucket) -> None:
    results = await asyncio.gather(
        *(bucket.create(KEY, b"%d" % number, LONG) for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, Conflict) for result in results) == 7


async def test_an_update_needs_the_newest_revision(bucket: Bucket) -> None:
    first = await bucket.create(KEY, b"one", LONG)
    second = await bucket.update(KEY, b"two", first, LONG)
    assert second > first
    with pytest.raises(Conflict):
        await bucket.update(KEY, b"three", first, LONG)
    entry = await bucket.get(KEY)
    assert entry is not None
    assert entry.value == b"two"


async def test_a_deleted_key_is_gone_and_may_be_created_anew(bucket: Bucket) -> None:
    await bucket.create(KEY, b"one", LONG)
    await bucket.delete(KEY)
    await bucket.delete("never.was")
    assert await bucket.get(KEY) is None
    assert await bucket.keys() == []
    await bucket.create(KEY, b"two", LONG)
    assert await bucket.keys() == [KEY]


async def test_the_keys_are_listed(bucket: Bucket) -> None:
    names = {f"key.{number}" for number in range(300)}
    for name in names:
        await bucket.create(name, b"", LONG)
    assert set(await bucket.keys()) == names


async def test_a_key_ends_with_its_life_time(bucket_and_wait: tuple[Bucket, Wait]) -> None:
    bucket, wait = bucket_and_wait
    await bucket.create("short", b"", timedelta(seconds=1))
    revision = await bucket.create("renewed", b"", timedelta(seconds=1))
    await bucket.update("renewed", b"", revision, LONG)
    await bucket.create("long", b"", LONG)
    await wait(timedelta(seconds=2.2))
    assert await bucket.get("short") is None
    assert sorted(await bucket.keys()) == ["long", "renewed"]
    await bucket.create("short", b"again", LONG)
