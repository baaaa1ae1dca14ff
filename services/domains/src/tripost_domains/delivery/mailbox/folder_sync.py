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


class _Lane:
    """One folder's. Requests are numbered; `_done` is the newest that an fsync which began after it has covered."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._change = threading.Condition()
        self._asked = 0
        self._done = 0
        self._at_work = False

    def sync(self) -> None:
        with self._change:
            self._asked += 1
            mine = self._asked
            while self._at_work and self._done < mine:
                self._change.wait()
            if self._done >= mine:
                return
            self._at_work = True
            covers = self._asked
        try:
            fsync_folder(self._folder)
        except BaseException:
            self._finish(self._done)  # those who wait make one of their own, and see for themselves
            raise
        self._finish(covers)

    def _finish(self, done: int) -> None:
        with self._change:
            self._done = done
            self._at_work = False
            self._change.notify_all()


def fsync_folder(folder: str) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
