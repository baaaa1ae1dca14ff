"""Deliveries that come close together wait for the disk together."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path, PurePath

import pytest
import pytest_asyncio

from tripost_domains.delivery.mailbox import group_commit
from tripost_domains.delivery.mailbox.group_commit import MAX_BATCH, GroupCommit
from tripost_domains.delivery.mailbox.maildir import Delivery, MaildirStore
from tripost_domains.delivery.mailbox.workers import DiskWorkers

ANN = PurePath("dest.example/ann")
BOB = PurePath("dest.example/bob")


class CountedStore(MaildirStore):
    """A store that tells its batches, and refuses what is named in `refused`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.batches: list[int] = []
        self.refused = ""
        self.is_broken = False
        self.is_at_work = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def deliver_all(self, deliveries: Sequence[Delivery]) -> list[OSError | None]:
        self.batches.append(len(deliveries))
        self.is_at_work.set()
        self.goes_on.wait(timeout=10)
        if self.is_broken:
            raise RuntimeError("a mistake of ours")
        outcomes = super().deliver_all(deliveries)
        full = OSError(errno.ENOSPC, "full")
        return [
            full if each.name == self.refused else outcome for each, outcome in zip(deliveries, outcomes, strict=True)
        ]


@pytest.fixture
def store(tmp_path: Path) -> CountedStore:
    return CountedStore(tmp_path)


@pytest_asyncio.fixture
async def group(store: CountedStore) -> AsyncIterator[GroupCommit]:
    workers = DiskWorkers(2)
    workers.start()
    yield GroupCommit(store, workers)
    await workers.stop()


async def test_a_message_that_comes_alone_is_written_at_once(group: GroupCommit, store: CountedStore) -> None:
    await group.deliver(ANN, "one", [b"1"])
    assert store.batches == [1]


async def test_what_comes_after_it_is_gathered(group: GroupCommit, store: CountedStore, tmp_path: Path) -> None:
    """Two mailboxes are no hindrance."""
    await group.deliver(ANN, "first", [b"1"])
    await asyncio.gather(*(group.deliver(box, f"{n}", [b"%d" % n]) for n in range(3) for box in (ANN, BOB)))
    assert store.batches == [1, 6]
    assert sorted(file.name for file in (tmp_path / BOB / "new").iterdir()) == ["0", "1", "2"]


async def test_a_batch_has_a_bound(group: GroupCommit, store: CountedStore) -> None:
    await group.deliver(ANN, "first", [b"1"])
    await asyncio.gather(*(group.deliver(ANN, f"{n}", [b"x"]) for n in range(MAX_BATCH + 3)))
    assert store.batches == [1, MAX_BATCH, 3]


async def test_each_learns_what_the_disk_said_to_its_own(group: GroupCommit, store: CountedStore) -> None:
    store.refused = "refused"
    await group.deliver(ANN, "first", [b"1"])
    names = ["a", "refused", "b"]
    results = await asyncio.gather(*(group.deliver(ANN, name, [b"x"]) for name in names), return_exceptions=True)
    assert [isinstance(result, OSError) for result in results] == [False, True, False]
    assert store.batches == [1, 3]


async def test_a_mistake_of_ours_reaches_all_who_wait(group: GroupCommit, store: CountedStore) -> None:
    store.is_broken = True
    results = await asyncio.gather(*(group.deliver(ANN, name, [b"x"]) for name in "ab"), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]


async def test_what_was_cancelled_before_it_began_is_not_written(
    group: GroupCommit, store: CountedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full batch begins, and no timer, which a slow machine would have run before the cancellation."""
    await group.deliver(ANN, "first", [b"1"])
    monkeypatch.setattr(group_commit, "INTERVAL_SECONDS", 3600.0)
    cancelled = asyncio.ensure_future(group.deliver(ANN, "cancelled", [b"x"]))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait({cancelled})
    others = [f"{number:02}" for number in range(MAX_BATCH - 1)]
    await asyncio.gather(*(group.deliver(ANN, name, [b"x"]) for name in others))
    assert store.batches == [1, len(others)]
    assert sorted(file.name for file in (tmp_path / ANN / "new").iterdir()) == [*others, "first"]


async def cancelled_while_it_is_written(group: GroupCommit, store: CountedStore) -> "asyncio.Task[None]":
    """Give a delivery that is cancelled while a thread writes it."""
    store.goes_on.clear()
    delivering = asyncio.create_task(group.deliver(ANN, "one", [b"1"]))
    await asyncio.to_thread(store.is_at_work.wait, 10)
    delivering.cancel()
    return delivering


async def test_what_was_cancelled_while_it_was_written_has_ended_when_the_cancellation_has(
    group: GroupCommit, store: CountedStore, tmp_path: Path
) -> None:
    """The message goes back into SPOOL then, and another replica looks whether it is there."""
    delivering = await cancelled_while_it_is_written(group, store)
    done, _ = await asyncio.wait({delivering}, timeout=0.05)
    assert not done
    store.goes_on.set()
    await asyncio.wait({delivering})
    assert delivering.cancelled()
    assert [file.name for file in (tmp_path / ANN / "new").iterdir()] == ["one"]


async def test_a_disk_that_hangs_is_not_waited_for_after_a_cancellation(
    group: GroupCommit, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts of what was relayed are still to be told."""
    monkeypatch.setattr(group_commit, "LAST_WRITE_WITHIN", timedelta(milliseconds=10))
    delivering = await cancelled_while_it_is_written(group, store)
    async with asyncio.timeout(5):
        await asyncio.wait({delivering})
    assert delivering.cancelled()
    store.goes_on.set()
