"""The cluster as admin-api reaches it, over a real nats-server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from admin_api import eventually
from servers import NatsServer
from tripost_admin_api.adapters.nats_cluster import NatsCluster
from tripost_admin_api.ports import ClusterUnavailable
from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import FrozenClock
from tripost_shared.config.port import ConfigUnavailable
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.content.writer import STREAM as CONTENT_STREAM
from tripost_shared.contracts.config import FILTER_KEY, FilterConfig, PolicyMode
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.provision import DEFAULT_SIZES, provision
from tripost_shared.settings import CommonSettings
from tripost_shared.spool.events import EVENTS_STREAM, JetStreamEventReader

NOW = FrozenClock().now()


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def cluster(nats: NatsServer) -> AsyncIterator[NatsCluster]:
    cluster = NatsCluster(CommonSettings(nats_url=nats.url), "admin-api")
    await cluster.open()
    yield cluster
    await cluster.close()


async def test_a_snapshot_older_than_the_one_in_force_is_left_out(cluster: NatsCluster) -> None:
    watched = await cluster.watch(FILTER_KEY, FilterConfig)
    base = watched.current.revision
    await cluster.put(FILTER_KEY, FilterConfig(revision=base + 2))
    await cluster.put(FILTER_KEY, FilterConfig(revision=base + 1, mode=PolicyMode.MONITOR))
    assert (await cluster.watch(FILTER_KEY, FilterConfig)).current == FilterConfig(revision=base + 2)


async def test_replicas_that_publish_at_once_never_go_back(nats: NatsServer, cluster: NatsCluster) -> None:
    """A watcher sees revisions that only grow, and the last one in the end."""
    async with AsyncExitStack() as stack:
        replicas = [NatsCluster(CommonSettings(nats_url=nats.url), "admin-api") for _ in range(3)]
        for replica in replicas:
            await replica.open()
            stack.push_async_callback(replica.close)
        watched = await cluster.watch(FILTER_KEY, FilterConfig)
        seen: list[int] = []
        watched.on_change(lambda config: seen.append(config.revision))
        base = watched.current.revision
        await asyncio.gather(
            *(
                replicas[number % 3].put(FILTER_KEY, FilterConfig(revision=base + number))
                for number in (5, 1, 9, 3, 12, 2)
            ),
        )
        await eventually(lambda: watched.current.revision == base + 12)
        assert seen == sorted(seen)


async def test_a_value_that_cannot_be_read_is_replaced(nats: NatsServer, cluster: NatsCluster) -> None:
    link = await NatsLink.connect(CommonSettings(nats_url=nats.url), "tests")
    await link.request("$KV.CONFIG.filter", b"garbage", 5.0)
    await link.close()
    await cluster.put(FILTER_KEY, FilterConfig(revision=1000))
    assert (await cluster.watch(FILTER_KEY, FilterConfig)).current.revision == 1000


async def test_facts_are_in_the_event_log_once_they_are_published(nats: NatsServer, cluster: NatsCluster) -> None:
    facts = [Event(f"fact-{number}", "1k3v9q2m8f0abcde.1", NOW, Fact.HELD, "admin-api") for number in range(2)]
    await cluster.publish_facts(facts)
    link = await NatsLink.connect(CommonSettings(nats_url=nats.url), "domains")
    reader = JetStreamEventReader(link)
    (batch,) = await reader.fetch(10, timedelta(seconds=5))
    assert list(batch.events) == facts
    await batch.done()
    await link.close()


async def test_facts_that_the_log_does_not_take_are_not_published(nats: NatsServer) -> None:
    link = await NatsLink.connect(CommonSettings(nats_url=nats.url), "tests")
    cluster = NatsCluster(CommonSettings(nats_url=nats.url), "admin-api")
    await cluster.open()
    await jetstream.call(link, f"STREAM.DELETE.{EVENTS_STREAM}")
    with pytest.raises(ClusterUnavailable):
        await cluster.publish_facts([Event("fact", "1k3v9q2m8f0abcde.1", NOW, Fact.HELD, "admin-api")])
    await provision(link, CommonSettings(nats_url=nats.url))
    await cluster.close()
    await link.close()


async def test_content_is_discarded_and_the_spool_counted(nats: NatsServer, cluster: NatsCluster) -> None:
    link = await NatsLink.connect(CommonSettings(nats_url=nats.url), "domains")
    store = ObjectContentStore(link)
    writer = store.writer("1k3v9q2m8f0abcde.1")
    await writer.write(b"octets")
    await writer.commit()
    (stored,) = await store.list()
    await cluster.delete_content(stored.name, committed_by=stored.stored_at - timedelta(seconds=1))
    assert await store.list() == [stored]
    await cluster.delete_content(stored.name, committed_by=stored.stored_at)
    assert await store.list() == []
    numbers = await cluster.spool()
    assert (numbers.waiting, numbers.partitions) == (0, 4)
    await jetstream.call(link, "STREAM.CREATE.SPOOL_9", {"name": "SPOOL_9", "subjects": ["spool.v1.9"]})
    await jetstream.publish(link, "spool.v1.9", b"of a time with more partitions")
    numbers = await cluster.spool()
    assert (numbers.waiting, numbers.partitions) == (1, 5)
    await jetstream.call(link, "STREAM.DELETE.SPOOL_9")
    await link.close()


async def test_settings_that_the_server_refuses_are_told_and_tried_again(nats: NatsServer) -> None:
    cluster = NatsCluster(CommonSettings(nats_url=nats.url, nats_replicas=3), "admin-api")
    opening = asyncio.create_task(cluster.open())
    await eventually(lambda: cluster.trouble != "", 10)
    assert cluster.trouble.startswith("NATS cannot be used: TRIPOST_NATS_REPLICAS: 3: ")
    with pytest.raises(ClusterUnavailable, match="its streams and buckets cannot be made yet"):
        await cluster.nodes(timedelta(seconds=1))
    assert not opening.done()
    opening.cancel()
    await asyncio.wait({opening})
    await cluster.close()


async def test_after_an_outage_streams_are_made_again_whatever_fails_at_first(
    nats: NatsServer, cluster: NatsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Exception] = [KeyError("nobody thought of it"), JetStreamRefused(10008, "told to refuse")]
    regained = asyncio.Event()
    cluster.on_regained(regained.set)

    async def failing_at_first(link: NatsLink, settings: CommonSettings) -> None:
        if failures:
            raise failures.pop()
        await provision(link, settings)

    monkeypatch.setattr("tripost_admin_api.adapters.nats_cluster.provision", failing_at_first)
    nats.kill()
    nats.start()
    async with asyncio.timeout(20):
        await regained.wait()
    assert failures == []
    assert cluster.trouble == ""


async def test_the_content_store_grows_with_the_storage_that_a_restart_of_nats_finds(tmp_path: Path) -> None:
    bounds = []
    for storage in ("1GB", "16GB"):
        with NatsServer(tmp_path, max_file_store=storage) as server:
            cluster = NatsCluster(CommonSettings(nats_url=server.url), "admin-api")
            await cluster.open()
            bounds.append(await cluster.content_bound())
            await cluster.close()
    assert bounds == [DEFAULT_SIZES.content // 64, DEFAULT_SIZES.content // 4]


async def test_a_content_store_that_is_lost_has_no_bound(nats: NatsServer, cluster: NatsCluster) -> None:
    link = await NatsLink.connect(CommonSettings(nats_url=nats.url), "tests")
    await jetstream.call(link, f"STREAM.DELETE.{CONTENT_STREAM}")
    assert await cluster.content_bound() is None
    await provision(link, CommonSettings(nats_url=nats.url))
    await link.close()


async def test_before_nats_is_reached_everything_says_so_at_once() -> None:
    cluster = NatsCluster(CommonSettings(nats_url="nats://127.0.0.1:1"), "admin-api")
    assert not cluster.is_connected
    with pytest.raises(ConfigUnavailable):
        await cluster.put(FILTER_KEY, FilterConfig(revision=1))
    with pytest.raises(ConfigUnavailable):
        await cluster.watch(FILTER_KEY, FilterConfig)
    with pytest.raises(ClusterUnavailable):
        await cluster.nodes(timedelta(seconds=1))
    with pytest.raises(ClusterUnavailable):
        await cluster.spool()
    with pytest.raises(ClusterUnavailable):
        await cluster.content_bound()
    with pytest.raises(ClusterUnavailable):
        await cluster.publish_facts([Event("fact", "1k3v9q2m8f0abcde.1", NOW, Fact.HELD, "admin-api")])
    with pytest.raises(ContentUnavailable):
        await cluster.delete_content("x", NOW)
    await cluster.close()
