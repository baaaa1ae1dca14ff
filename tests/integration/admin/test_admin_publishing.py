"""Changes reach the tiers: soon, in order, after any outage, and never backwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from structlog.testing import capture_logs

from admin_api import SOON, Api, eventually
from tripost_admin_api.adapters.memory_cluster import MemoryCluster
from tripost_admin_api.configuration.publishing import SnapshotPublisher
from tripost_admin_api.perseverance import FIRST_PAUSE, LASTING
from tripost_shared.config.port import ConfigUnavailable, Watched
from tripost_shared.contracts.config import (
    DIRECTORY_KEY,
    EDGE_KEY,
    FILTER_KEY,
    DirectoryChange,
    EdgeConfig,
    FilterConfig,
    PolicyMode,
)
from tripost_shared.contracts.control import CONTROL_KEY, ControlConfig

V1 = "/api/v1"


@asynccontextmanager
async def running(publisher: SnapshotPublisher) -> AsyncIterator[None]:
    """Let it publish; at the end it has finished its work with the database."""
    task = asyncio.create_task(publisher.run())
    yield
    publisher.stop()
    async with asyncio.timeout(10):
        await task


@pytest.fixture
async def publishing(api: Api) -> AsyncIterator[Api]:
    api.parts.database.on_change(api.parts.publisher.published)
    async with running(api.parts.publisher):
        yield api


async def reaches(watched: Watched[FilterConfig], mode: PolicyMode) -> None:
    await eventually(lambda: watched.current.mode is mode)


async def test_a_change_is_in_force_when_it_is_answered(publishing: Api) -> None:
    policy = await publishing.cluster.watch(FILTER_KEY, FilterConfig)
    edge = await publishing.cluster.watch(EDGE_KEY, EdgeConfig)
    directory = await publishing.cluster.watch(DIRECTORY_KEY, DirectoryChange)
    await publishing.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
    assert policy.current.mode is PolicyMode.MONITOR
    await publishing.add("relay-networks", network="192.0.2.0/24")
    assert edge.current.relay_networks == ("192.0.2.0/24",)
    await publishing.add("domains", name="local.test")
    assert directory.current.revision == 3
    await publishing.add("control/rules", name="none", action="deny")
    control = await publishing.cluster.watch(CONTROL_KEY, ControlConfig)
    assert (control.current.revision, [rule.name for rule in control.current.rules]) == (4, ["none"])
    assert (policy.current.revision, edge.current.revision) == (1, 2)


async def test_a_change_during_an_outage_is_accepted_and_published_after_it(publishing: Api) -> None:
    policy = await publishing.cluster.watch(FILTER_KEY, FilterConfig)
    publishing.cluster.is_connected = False
    async with asyncio.timeout(SOON):
        answer = await publishing.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
    assert answer.status_code == 200
    assert policy.current.mode is PolicyMode.ENFORCE
    publishing.cluster.regain()
    await reaches(policy, PolicyMode.MONITOR)
    assert policy.current.revision == 1


async def test_a_cluster_that_lost_its_state_gets_it_again(publishing: Api) -> None:
    await publishing.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
    publishing.cluster.is_connected = False
    publishing.cluster.put_revisions.clear()
    publishing.cluster.regain()
    await eventually(lambda: (FILTER_KEY, 1) in publishing.cluster.put_revisions)
    policy = await publishing.cluster.watch(FILTER_KEY, FilterConfig)
    assert policy.current.mode is PolicyMode.MONITOR


async def test_what_cannot_be_published_is_tried_again(publishing: Api) -> None:
    policy = await publishing.cluster.watch(FILTER_KEY, FilterConfig)
    publishing.cluster.config.is_unavailable = True
    await publishing.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
    publishing.cluster.config.is_unavailable = False
    publishing.cluster.regain()
    await reaches(policy, PolicyMode.MONITOR)
    assert policy.current.revision == 1


async def test_no_failure_ends_publishing_and_one_that_lasts_is_a_problem_of_the_cluster(
    publishing: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody thought of too: its trace is in the log, and the changes go out once it is over."""
    tries = 0

    async def broken(key: str, snapshot: msgspec.Struct) -> None:
        nonlocal tries
        tries += 1
        raise KeyError(key)

    policy = await publishing.cluster.watch(FILTER_KEY, FilterConfig)
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(publishing.cluster, "put", broken)
        await publishing.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
        for _ in range(LASTING):
            before = tries
            publishing.cluster.regain()
            await eventually(lambda before=before: tries > before)
        problems = (await publishing.reader.get(f"{V1}/status")).json()["problems"]
    assert "configuration not published: KeyError, which the log of admin-api shows in full" in problems
    assert any(isinstance(entry.get("exc_info"), KeyError) for entry in logs)
    publishing.cluster.regain()
    await reaches(policy, PolicyMode.MONITOR)
    await eventually(lambda: publishing.parts.publisher.trouble == "")


async def test_what_fails_after_a_part_was_published_is_not_tried_without_a_pause(api: Api) -> None:
    """The part that is out comes back as a change, which asks for publishing."""
    tried_at: list[float] = []
    put = api.cluster.put

    async def broken_for_filter(key: str, snapshot: msgspec.Struct) -> None:
        if key == FILTER_KEY:
            tried_at.append(asyncio.get_running_loop().time())
            raise ConfigUnavailable("told to be unavailable")
        await put(key, snapshot)

    await api.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
    await api.add("relay-networks", network="192.0.2.0/24")
    api.cluster.put = broken_for_filter  # type: ignore[method-assign]  # the cluster is this test's own
    async with running(api.parts.publisher):
        await eventually(lambda: len(tried_at) >= 2)
    assert tried_at[1] - tried_at[0] >= FIRST_PAUSE.total_seconds()


async def test_what_was_there_before_the_start_is_published_at_start(api: Api) -> None:
    await api.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
    policy = await api.cluster.watch(FILTER_KEY, FilterConfig)
    async with running(api.parts.publisher):
        await reaches(policy, PolicyMode.MONITOR)
    assert api.cluster.put_revisions == [(FILTER_KEY, 1)]


async def test_nothing_is_published_where_nothing_was_ever_changed(publishing: Api) -> None:
    await publishing.parts.publisher.published(0)
    assert publishing.cluster.put_revisions == []


async def test_two_replicas_publish_each_change_and_never_go_back(publishing: Api) -> None:
    second = SnapshotPublisher(publishing.parts.database, publishing.cluster)
    modes = ["monitor", "enforce"] * 5
    async with running(second):
        for mode in modes:
            await publishing.admin.patch(f"{V1}/policy", json={"mode": mode})
            publishing.cluster.regain()
        policy = await publishing.cluster.watch(FILTER_KEY, FilterConfig)
        await eventually(lambda: policy.current.revision == len(modes))
    revisions = [revision for key, revision in publishing.cluster.put_revisions if key == FILTER_KEY]
    assert revisions == sorted(revisions)
    assert policy.current.mode is PolicyMode.ENFORCE


async def test_a_restored_database_overtakes_what_the_cluster_has(api: Api) -> None:
    """Else its changes would never be published: the cluster has seen higher revisions."""
    await api.cluster.put(FILTER_KEY, FilterConfig(revision=50, mode=PolicyMode.MONITOR))
    policy = await api.cluster.watch(FILTER_KEY, FilterConfig)
    async with running(api.parts.publisher):
        await reaches(policy, PolicyMode.ENFORCE)
        assert policy.current.revision == 51
        await api.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
        await api.parts.publisher.published(52)
        await reaches(policy, PolicyMode.MONITOR)


async def test_what_was_changed_last_is_published_before_the_end(api: Api) -> None:
    task = asyncio.create_task(api.parts.publisher.run())
    await api.admin.patch(f"{V1}/policy", json={"mode": "monitor"})
    api.parts.publisher.stop()
    async with asyncio.timeout(10):
        await task
    assert (FILTER_KEY, 1) in api.cluster.put_revisions


async def test_a_stop_at_the_very_moment_of_a_change_ends_it(api: Api) -> None:
    """A wait that is over and cancelled at once must not go on for ever."""
    task = asyncio.create_task(api.parts.publisher.run())
    api.cluster.is_connected = False
    for _ in range(10):
        await asyncio.sleep(0)
    await api.parts.publisher.published(1)
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=SOON)
    assert done == {task}


async def test_a_snapshot_older_than_the_one_in_force_is_left_out() -> None:
    cluster = MemoryCluster()
    await cluster.put(FILTER_KEY, FilterConfig(revision=2))
    await cluster.put(FILTER_KEY, FilterConfig(revision=1, mode=PolicyMode.MONITOR))
    assert (await cluster.watch(FILTER_KEY, FilterConfig)).current == FilterConfig(revision=2)
