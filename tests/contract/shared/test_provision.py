"""Streams and buckets are made, changed, and fitted to the storage."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from links import PARTITIONS, SMALL, settings_for, until
from servers import NatsServer, free_port
from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.provision import DEFAULT_SIZES, provision, streams, wait_until_provisioned
from tripost_shared.settings import CommonSettings, SettingsError

CLUSTERED = """
server_name: n{port}
cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}
"""


async def config_of(link: NatsLink, stream: str) -> dict[str, object]:
    config: dict[str, object] = (await jetstream.call(link, f"STREAM.INFO.{stream}"))["config"]
    return config


async def test_all_is_as_described_and_a_second_time_changes_nothing(link: NatsLink, nats_server: NatsServer) -> None:
    for described in streams(PARTITIONS, SMALL):
        config = await config_of(link, described["name"])
        assert {key: config.get(key) for key in described} == described
    with capture_logs() as logs:
        await provision(link, settings_for(nats_server), SMALL)
    assert logs == []


async def test_spool_keeps_what_it_has_when_it_is_full(link: NatsLink) -> None:
    config = await config_of(link, "SPOOL_0")
    assert (config["storage"], config["retention"], config["discard"]) == ("file", "limits", "new")


async def test_changed_settings_change_the_streams(link: NatsLink, nats_server: NatsServer) -> None:
    await provision(link, settings_for(nats_server), replace(SMALL, spool_partition=32 << 20))
    assert (await config_of(link, "SPOOL_1"))["max_bytes"] == 32 << 20


async def test_several_may_provision_at_once() -> None:
    with NatsServer() as server:
        links = [await NatsLink.connect(settings_for(server), "test") for _ in range(3)]
        await asyncio.gather(*(provision(each, settings_for(server), SMALL) for each in links))
        assert (await config_of(links[0], "SPOOL_1"))["max_bytes"] == SMALL.spool_partition
        for each in links:
            await each.close()


async def test_where_storage_is_small_all_bounds_are_smaller() -> None:
    with NatsServer(max_file_store="1GB") as server:
        link = await NatsLink.connect(settings_for(server), "test")
        for _ in range(2):
            with capture_logs() as logs:
                await provision(link, settings_for(server), DEFAULT_SIZES)
            assert [line["divided_by"] for line in logs if "divided_by" in line] == [64]
            assert (await config_of(link, "SPOOL_0"))["max_bytes"] == DEFAULT_SIZES.spool_partition // 64
        await link.close()


async def test_who_must_not_provision_waits_for_those_who_do() -> None:
    with NatsServer() as server:
        link = await NatsLink.connect(settings_for(server), "test")
        waiting = asyncio.create_task(wait_until_provisioned(link, settings_for(server)))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        await provision(link, settings_for(server), SMALL)
        async with asyncio.timeout(10):
            await waiting
        await link.close()


@pytest.fixture
def three_servers() -> Iterator[list[NatsServer]]:
    """A NATS cluster of three."""
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    with ExitStack() as stack:
        yield [
            stack.enter_context(NatsServer(extra=CLUSTERED.format(port=port, routes=routes), max_file_store="1GB"))
            for port in ports
        ]


def replicated(servers: list[NatsServer], replicas: int) -> CommonSettings:
    settings = CommonSettings(nats_url=",".join(server.url for server in servers), spool_partitions=PARTITIONS)
    return settings.model_copy(update={"nats_replicas": replicas})


async def test_in_a_cluster_each_stream_lies_on_as_many_servers_as_are_set(three_servers: list[NatsServer]) -> None:
    link = await NatsLink.connect(replicated(three_servers, 3), "test")
    await provision(link, replicated(three_servers, 1), SMALL)
    await provision(link, replicated(three_servers, 3), SMALL)
    assert {(await config_of(link, config["name"]))["num_replicas"] for config in streams(PARTITIONS, SMALL)} == {3}
    first = await published(link, "spool.v1.0")
    await until_copied(link, "SPOOL_0")
    three_servers[0].kill()
    assert await published(link, "spool.v1.0") > first
    await link.close()


async def test_more_replicas_than_servers_are_waited_for_and_said(three_servers: list[NatsServer]) -> None:
    link = await NatsLink.connect(replicated(three_servers, 5), "test")
    with capture_logs() as logs:
        making = asyncio.create_task(provision(link, replicated(three_servers, 5), SMALL))
        await until(lambda: any("TRIPOST_NATS_REPLICAS: 5: " in line.get("because", "") for line in logs))
    assert not making.done()
    making.cancel()
    await link.close()


async def test_replicas_on_a_server_that_stands_alone_are_a_wrong_setting(
    link: NatsLink, nats_server: NatsServer
) -> None:
    with pytest.raises(SettingsError, match="TRIPOST_NATS_REPLICAS: 3: "):
        await provision(link, replicated([nats_server], 3), SMALL)


async def until_copied(link: NatsLink, stream: str) -> None:
    """Wait until the new copies are whole: before, the former server must not be lost."""
    async with asyncio.timeout(30):
        while True:
            info = await jetstream.call(link, f"STREAM.INFO.{stream}")
            copies = info["cluster"].get("replicas", [])
            if len(copies) == 2 and all(copy["current"] for copy in copies):
                return
            await asyncio.sleep(0.05)


async def published(link: NatsLink, subject: str) -> int:
    """Store a message, trying while the stream has no leader; gives its sequence number."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await jetstream.publish(link, subject, b"accepted", within_seconds=1.0)
            except (JetStreamUnavailable, JetStreamRefused):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("partitions", [1, 64])
def test_each_partition_has_its_stream(partitions: int) -> None:
    names = [config["name"] for config in streams(partitions, SMALL)]
    assert sum(name.startswith("SPOOL_") and name[6:].isdigit() for name in names) == partitions
    assert len(set(names)) == len(names)
