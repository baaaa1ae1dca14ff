"""One behaviour suite for bans, on the fake and on JetStream KV."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from links import provisioned_link
from servers import NatsServer
from tripost_shared.bans.kv import PREFIX, KvBans
from tripost_shared.bans.memory import MemoryBans
from tripost_shared.bans.port import BansUnavailable, HeardBans
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import FrozenClock, SystemClock
from tripost_shared.contracts.bans import Ban
from tripost_shared.kv.jetstream import DELETE

HOUR = timedelta(hours=1)


def a_ban(network: str = "192.0.2.7", *, since: datetime | None = None, **others: object) -> Ban:
    since = since or datetime.now(UTC)
    return Ban(**{"network": network, "reason": "abuse", "since": since, "until": since + HOUR, "by": "ann", **others})


@pytest.fixture(params=["memory", "kv"])
async def bans(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[HeardBans]:
    if request.param == "memory":
        yield MemoryBans(SystemClock())
        return
    async with provisioned_link(nats_server) as link:
        yield KvBans(link, SystemClock())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (nothing tells when)
            await asyncio.sleep(0.005)


async def test_what_was_put_is_found_heard_and_listed(bans: HeardBans) -> None:
    heard: list[Ban] = []
    bans.hear(heard.append, lambda: None)
    first, second = a_ban(), a_ban("2001:db8:0:1::/64")
    for ban in (first, second):
        await bans.put(ban, ban.until)
    assert await bans.find("192.0.2.7") == first
    assert await bans.find("192.0.2.8") is None
    assert await bans.find("2001:db8:0:1::7") == second
    assert {ban.network for ban in await bans.all()} == {first.network, second.network}
    await until(lambda: heard == [first, second])


async def test_the_latest_of_a_network_counts(bans: HeardBans) -> None:
    ban = a_ban()
    await bans.put(ban, ban.until)
    lifted = ban.lifted_at(ban.since)
    await bans.put(lifted, ban.until)
    assert await bans.all() == [lifted]
    assert not lifted.holds_at(ban.since)


async def test_an_entry_is_forgotten_when_it_is_said_to_be(nats_server: NatsServer, clock: FrozenClock) -> None:
    memory = MemoryBans(clock)
    now = clock.now()
    await memory.put(a_ban(since=now), now + HOUR)
    clock.advance(HOUR)
    assert await memory.all() == []
    assert await memory.find("192.0.2.7") is None
    async with provisioned_link(nats_server) as link:
        real = KvBans(link, SystemClock())
        await real.put(a_ban(), datetime.now(UTC) + timedelta(seconds=0.5))
        async with asyncio.timeout(5):
            while await real.all():  # noqa: ASYNC110 (the server forgets it by itself)
                await asyncio.sleep(0.1)
        assert await real.find("192.0.2.7") is None


async def test_what_is_deleted_by_hand_or_cannot_be_read_is_told_as_missed(nats_server: NatsServer) -> None:
    async with provisioned_link(nats_server) as link:
        bans = KvBans(link, SystemClock())
        heard: list[Ban] = []
        missed: list[bool] = []
        bans.hear(heard.append, lambda: missed.append(True))
        await bans.put(a_ban(), datetime.now(UTC) + HOUR)
        await jetstream.publish(link, f"{PREFIX}v4.c0000207.32", b"", DELETE)
        await jetstream.publish(link, f"{PREFIX}v4.c0000208.32", b'{"network": "192.0.2.7"}')
        await until(lambda: len(missed) == 2)
        assert len(heard) == 1
        assert await bans.all() == []


async def test_without_nats_it_is_said_to_be_unavailable(own_link: NatsLink) -> None:
    bans = KvBans(own_link, SystemClock())
    await own_link.close()
    for call in (bans.all(), bans.find("192.0.2.7"), bans.put(a_ban(), datetime.now(UTC))):
        with pytest.raises(BansUnavailable):
            await call
