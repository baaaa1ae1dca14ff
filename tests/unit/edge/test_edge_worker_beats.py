"""A worker whose event loop stands still is found by its silence."""

import asyncio

import pytest

from tripost_edge import worker_beats
from tripost_edge.worker_beats import PATIENCE, WorkerBeats

EVERY = PATIENCE.every.total_seconds()


class Looker:
    """Looks after two workers, of whom some beat between the looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker_beats, "BEAT_SECONDS", 3600)
        self.beats = WorkerBeats(2)
        self._now = 1000.0

    async def beat(self, worker: int) -> None:
        beating = asyncio.create_task(self.beats.beat(worker))
        await asyncio.sleep(0)
        beating.cancel()

    async def look(self, *beating: int) -> list[int]:
        for worker in beating:
            await self.beat(worker)
        self._now += EVERY
        return list(self.beats.look(self._now))


@pytest.fixture
def looker(monkeypatch: pytest.MonkeyPatch) -> Looker:
    return Looker(monkeypatch)


async def test_the_one_that_is_silent_is_told_after_its_time(looker: Looker) -> None:
    assert await looker.look(0, 1) == []
    looks = [await looker.look(0) for _ in range(PATIENCE.looks)]
    assert looks == [*[[]] * (PATIENCE.looks - 1), [1]]


async def test_those_that_beat_are_left_alone_for_ever(looker: Looker) -> None:
    """Also when the count begins anew."""
    assert not any([await looker.look(0, 1) for _ in range(600)])


async def test_nothing_is_expected_of_a_worker_before_it_has_begun(looker: Looker) -> None:
    assert not any([await looker.look() for _ in range(10)])


async def test_nothing_is_expected_of_a_worker_that_is_started_again(looker: Looker) -> None:
    await looker.look(0)
    for _ in range(PATIENCE.looks):
        await looker.look()
    looker.beats.forget(0)
    assert not any([await looker.look() for _ in range(10)])
    assert await looker.look(0) == []
