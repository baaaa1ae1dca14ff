"""One behaviour suite for counts that are kept for good, on the fake and on JetStream."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from links import provisioned_link, settings_for
from servers import NatsServer
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import FrozenClock, SystemClock
from tripost_shared.counters.jetstream_totals import JetStreamTotals
from tripost_shared.counters.port import CountersUnavailable
from tripost_shared.counters.totals import MemoryTotals, Totals


@pytest.fixture(params=["memory", "jetstream"])
async def totals(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[Totals]:
    if request.param == "memory":
        yield MemoryTotals(SystemClock())
        return
    async with provisioned_link(nats_server) as link:
        yield JetStreamTotals(link)


async def test_what_is_added_by_whomever_adds_up_by_kind_and_key(totals: Totals) -> None:
    assert await totals.all("access") == {}
    await totals.add_all("access", {"one.3": 2, "two.4": 1})
    await totals.add_all("access", {"one.3": 40})
    await totals.add_all("other", {"one.3": 7})
    await totals.add_all("access", {})
    assert {key: total.total for key, total in (await totals.all("access")).items()} == {"one.3": 42, "two.4": 1}


async def test_each_total_tells_when_it_was_last_added_to(totals: Totals) -> None:
    before = SystemClock().now() - timedelta(seconds=1)
    await totals.add_all("access", {"one.3": 2})
    at: datetime = (await totals.all("access"))["one.3"].changed_at
    assert before < at < SystemClock().now() + timedelta(seconds=1)


async def test_without_a_server_nothing_is_added_and_nothing_known(nats_server: NatsServer, clock: FrozenClock) -> None:
    memory = MemoryTotals(clock)
    memory.is_unavailable = True
    link = await NatsLink.connect(settings_for(nats_server), "test")
    await link.close()
    for totals in (memory, JetStreamTotals(link)):
        with pytest.raises(CountersUnavailable):
            await totals.add_all("access", {"one.3": 2})
        with pytest.raises(CountersUnavailable):
            await totals.all("access")
