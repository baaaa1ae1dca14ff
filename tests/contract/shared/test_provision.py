"""Streams and buckets are made, changed, and fitted to the storage."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from links import PARTITIONS, SMALL, settings_for
from servers import NatsServer
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.provision import DEFAULT_SIZES, provision, streams, wait_until_provisioned


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


@pytest.mark.parametrize("partitions", [1, 64])
def test_each_partition_has_its_stream(partitions: int) -> None:
    names = [config["name"] for config in streams(partitions, SMALL)]
    assert sum(name.startswith("SPOOL_") and name[6:].isdigit() for name in names) == partitions
    assert len(set(names)) == len(names)
