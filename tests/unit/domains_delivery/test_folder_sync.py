"""Several threads share an fsync of the folder they have renamed in."""

import errno
import threading
from pathlib import Path

import pytest

from tripost_domains.delivery.mailbox import folder_sync
from tripost_domains.delivery.mailbox.folder_sync import FolderSyncs


class SlowDisk:
    """Fsyncs that last until they are let go; `begun` counts them."""

    def __init__(self, *, fails: int = 0) -> None:
        self.begun = 0
        self.let_go = threading.Event()
        self.has_begun = threading.Event()
        self._fails = fails

    def fsync(self, folder: str) -> None:
        self.begun += 1
        self.has_begun.set()
        assert self.let_go.wait(10)
        if self._fails:
            self._fails -= 1
            raise OSError(errno.EIO, "broken disk")


def start(syncs: FolderSyncs, failures: list[OSError]) -> threading.Thread:
    def run() -> None:
        try:
            syncs.sync("new")
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def run_together(monkeypatch: pytest.MonkeyPatch, disk: SlowDisk, threads: int) -> list[OSError]:
    """Have one thread sync, and so many others ask while it is at it."""
    monkeypatch.setattr(folder_sync, "fsync_folder", disk.fsync)
    syncs, failures = FolderSyncs(), list[OSError]()
    first = start(syncs, failures)
    assert disk.has_begun.wait(10)
    others = [start(syncs, failures) for _ in range(threads)]
    lane = syncs._lanes["new"]
    while len(lane._change._waiters) < threads:  # type: ignore[attr-defined]
        assert first.is_alive()
    disk.let_go.set()
    for thread in (first, *others):
        thread.join(10)
        assert not thread.is_alive()
    return failures


def test_those_who_come_during_an_fsync_share_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one at work began before their renames, so it does not count for them."""
    disk = SlowDisk()
    assert run_together(monkeypatch, disk, 7) == []
    assert disk.begun == 2


def test_an_fsync_that_fails_has_failed_for_all_who_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says once that a write has failed: an fsync of one's own would succeed, and nothing be on the disk."""
    disk = SlowDisk(fails=2)
    failures = run_together(monkeypatch, disk, 3)
    assert len(failures) == 4
    assert disk.begun == 2


def test_a_real_folder_is_synced(tmp_path: Path) -> None:
    syncs = FolderSyncs()
    syncs.sync(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        syncs.sync(str(tmp_path / "gone"))
