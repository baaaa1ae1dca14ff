"""The recorder loses no fact, whatever is away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tripost_domains.ports import FactsRefused, TrackingUnavailable
from tripost_domains.tracking import recorder as tracking_recorder
from tripost_domains.tracking.recorder import Rhythm, TrackingRecorder
from tripost_domains.tracking.retention import AT_ONCE, Retention
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.spool.memory import MemoryEventBatch, MemoryEventLog, MemoryEventReader

QUICK = Rhythm(timedelta(), timedelta(milliseconds=2), timedelta(milliseconds=5))


class MemoryTracking:
    """Keeps facts by id; `is_away` and `is_broken` fail, and so does a fact whose detail is "poison"."""

    def __init__(self) -> None:
        self.written: dict[str, Event] = {}
        self.is_away = False
        self.is_broken = False
        self.attempts = 0
        self.purges: list[tuple[datetime, int]] = []
        self.old = 0

    async def write(self, events: Sequence[Event]) -> None:
        self.attempts += 1
        if self.is_away:
            raise TrackingUnavailable("away")
        if self.is_broken:
            raise LookupError("no such column")
        if any(event.detail == "poison" for event in events):
            raise FactsRefused("poison")
        self.written.update({event.id: event for event in events})

    async def purge(self, before: datetime, at_most: int) -> int:
        self.purges.append((before, at_most))
        purged = min(at_most, self.old)
        self.old -= purged
        return purged


class Given:
    """A recorder between a log and a store, both in memory."""

    def __init__(self) -> None:
        self.log = MemoryEventLog()
        self.reader = MemoryEventReader(self.log)
        self.store = MemoryTracking()
        self.recorder = TrackingRecorder(self.reader, self.store, QUICK)

    def record(self, *names: str, detail: str = "") -> None:
        for name in names:
            at = datetime(2026, 1, 1, tzinfo=UTC)
            self.log.record(Event(name, f"message-{name}", at, Fact.DELIVERED, "domains", detail=detail))

    async def is_all_done(self) -> bool:
        return not await self.reader.fetch(10, timedelta())


@pytest.fixture
async def given() -> AsyncIterator[Given]:
    given = Given()
    given.recorder.start()
    yield given
    await given.recorder.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (the fakes tell nobody)
            await asyncio.sleep(0.001)


async def test_facts_are_written_and_then_acknowledged(given: Given) -> None:
    given.record("a", "b")
    await until(lambda: len(given.store.written) == 2)
    await given.recorder.drain()
    assert await given.is_all_done()


async def test_nothing_is_acknowledged_while_the_database_is_away(given: Given) -> None:
    given.store.is_away = True
    given.record("a")
    await until(lambda: given.store.attempts > 3)
    assert not await given.is_all_done()
    assert given.recorder.trouble
    given.store.is_away = False
    await until(lambda: "a" in given.store.written)
    await given.recorder.drain()
    assert await given.is_all_done()
    assert not given.recorder.trouble


async def test_a_log_that_is_away_is_asked_again(given: Given) -> None:
    given.log.is_unavailable = True
    await until(lambda: given.recorder.trouble != "")
    given.log.is_unavailable = False
    given.record("a")
    await until(lambda: "a" in given.store.written)


async def test_a_fact_that_the_database_refuses_is_left_out_and_the_others_are_written(given: Given) -> None:
    with capture_logs() as lines:
        given.record("bad", detail="poison")
        given.record(*"abcdefg")
        await until(lambda: len(given.store.written) == 7)
        await given.recorder.drain()
    assert await given.is_all_done()
    told = [(line["event"], line["fact"], line["because"]) for line in lines if line["log_level"] == "error"]
    assert told == [("a fact cannot be written", "bad", "poison")]


async def test_a_mistake_of_ours_costs_no_fact(given: Given) -> None:
    """It concerns them all: each would be found guilty by halving, and all be forgotten."""
    given.store.is_broken = True
    given.record("a", "b")
    await until(lambda: given.store.attempts > 3)
    assert not await given.is_all_done()
    assert given.recorder.trouble == "LookupError"
    given.store.is_broken = False
    await until(lambda: set(given.store.written) == {"a", "b"})
    await given.recorder.drain()
    assert await given.is_all_done()
    assert not given.recorder.trouble


async def test_a_recorder_ends_while_the_database_is_away_and_acknowledges_nothing(given: Given) -> None:
    given.store.is_away = True
    given.record("a")
    await until(lambda: given.store.attempts > 0)
    async with asyncio.timeout(2):
        await given.recorder.drain()
    assert not await given.is_all_done()


class HeldTracking(MemoryTracking):
    """Takes nothing until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def write(self, events: Sequence[Event]) -> None:
        self.is_asked.set()
        await self.goes_on.wait()
        await super().write(events)


async def test_what_was_fetched_is_written_at_the_end_without_a_drain_too(given: Given) -> None:
    """The service's drain may run out of time before it comes to the tracking."""
    store = HeldTracking()
    recorder = TrackingRecorder(given.reader, store, QUICK)
    await given.recorder.drain()
    given.record("a")
    recorder.start()
    await store.is_asked.wait()
    ending = asyncio.create_task(recorder.stop())
    await asyncio.sleep(0)
    store.goes_on.set()
    await ending
    assert set(store.written) == {"a"}
    assert await given.is_all_done()


async def test_the_end_waits_for_no_database_that_does_not_answer(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_recorder, "LAST_WRITE_WITHIN", timedelta(milliseconds=10))
    store = HeldTracking()
    recorder = TrackingRecorder(given.reader, store, QUICK)
    await given.recorder.drain()
    given.record("a")
    recorder.start()
    await store.is_asked.wait()
    async with asyncio.timeout(5):
        await recorder.stop()
    assert not await given.is_all_done()


async def test_what_is_older_than_the_retention_is_purged_in_small_batches() -> None:
    clock, store = FrozenClock(), MemoryTracking()
    store.old = AT_ONCE * 2 + 1
    assert await Retention(store, clock, timedelta(days=30)).purge() == AT_ONCE * 2 + 1
    assert store.purges == [(clock.now() - timedelta(days=30), AT_ONCE)] * 3


class EndlessReader:
    """A reader to whom no fact comes, however long it waits."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    async def fetch(self, at_most: int, wait: timedelta) -> Sequence[MemoryEventBatch]:
        self.is_asked.set()
        await asyncio.Event().wait()
        return []

    async def wait_until_done(self, within: timedelta) -> bool:
        return True


async def test_draining_waits_for_no_fact_that_may_still_come() -> None:
    reader = EndlessReader()
    recorder = TrackingRecorder(reader, MemoryTracking(), QUICK)
    recorder.start()
    await reader.is_asked.wait()
    async with asyncio.timeout(5):
        await recorder.drain()
