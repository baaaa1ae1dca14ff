"""Making the names in a folder durable, one fsync for all threads that wait for it."""

import os
import threading
from typing import Final

MAX_FOLDERS: Final = 20_000


class FolderSyncs:
    """Shares fsyncs among threads: whoever renamed before an fsync began need not make one of its own."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._choosing = threading.Lock()

    def sync(self, folder: str) -> None:
        """Return once all that was done in the folder before this call is durable; raises OSError."""
        with self._choosing:
            lane = self._lanes.get(folder)
            if lane is None:
                if len(self._lanes) >= MAX_FOLDERS:
                    self._lanes.clear()  # threads at work keep theirs; at worst an fsync is made twice
                lane = self._lanes[folder] = _Lane(folder)
        lane.sync()


class _Fsync:
    """One fsync, shared by all who asked for it before it began. Its failure is theirs alike.

    The kernel tells of a failed write once: an fsync after it succeeds, and nothing is on the disk.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.failure: OSError | None = None


class _Lane:
    """One folder's: an fsync at work at most, and one that gathers those who ask meanwhile."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._change = threading.Condition()
        self._gathering = _Fsync()
        self._at_work = False

    def sync(self) -> None:
        with self._change:
            mine = self._gathering
            while self._at_work and not mine.is_done:
                self._change.wait()
            if not mine.is_done:
                self._at_work = True
                self._gathering = _Fsync()
        if not mine.is_done:  # then it is for this thread to make
            self._make(mine)
        if mine.failure is not None:
            raise OSError(mine.failure.errno, mine.failure.strerror, self._folder)

    def _make(self, mine: _Fsync) -> None:
        try:
            fsync_folder(self._folder)
        except OSError as error:
            mine.failure = error
        finally:
            with self._change:
                mine.is_done = True
                self._at_work = False
                self._change.notify_all()


def fsync_folder(folder: str) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
