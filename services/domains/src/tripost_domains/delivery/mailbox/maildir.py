"""Durable delivery to a Maildir: tmp, fsync, rename, fsync of the folder. All calls block; see `workers`.

When `commit` has returned, a crash of the machine loses neither the file nor its name.
"""

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path, PurePath
from typing import Final

from tripost_domains.delivery.mailbox.folder_sync import FolderSyncs, fsync_folder

STALE_TMP_SECONDS: Final = 36 * 3600  # as the Maildir protocol has it
MAX_KNOWN_FOLDERS: Final = 20_000
_TMP: Final = "tmp"
_NEW: Final = "new"
_CUR: Final = "cur"
_MAX_VECTORS: Final = 64  # far below IOV_MAX

_numbers = count()


class MaildirStore:
    """The Maildirs below one folder; remembers which of them exist."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[PurePath, str] = {}
        self._making = threading.Lock()
        self._syncs = FolderSyncs()

    def deliver(self, mailbox: PurePath, name: str, octets: Sequence[bytes]) -> None:
        """Write a message that is at hand as a whole; the same name again replaces it. Raises OSError."""
        writing = self.begin(mailbox, name)
        try:
            writing.write(octets)
            writing.commit()
        except BaseException:
            writing.abort()
            raise

    def begin(self, mailbox: PurePath, name: str) -> "MaildirWriting":
        """Begin to write a message; raises OSError."""
        folder = self._known.get(mailbox) or self._make(mailbox)
        try:
            return MaildirWriting(folder, name, self._syncs)
        except FileNotFoundError:  # removed since we last looked
            return MaildirWriting(self._make(mailbox), name, self._syncs)

    def find(self, mailbox: PurePath, stem: str) -> str | None:
        """Look for a message that an earlier attempt delivered: gives "new", "cur" or None.

        It reads the whole folders, so ask only where there may have been an earlier attempt.
        """
        folder = self._root / mailbox
        for part in (_NEW, _CUR):
            with contextlib.suppress(FileNotFoundError), os.scandir(folder / part) as entries:
                if any(entry.name.startswith(stem) for entry in entries):
                    return part
        return None

    def _make(self, mailbox: PurePath) -> str:
        """Make sure that the folder and its three parts are there, durably; sweeps its `tmp/`."""
        with self._making:
            folder = self._root
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for component in mailbox.parts:
                folder = _made(folder, component)
            for part in (_TMP, _NEW, _CUR):
                _made(folder, part)
            if len(self._known) >= MAX_KNOWN_FOLDERS:
                self._known.clear()
            self._known[mailbox] = str(folder)
        _sweep(folder / _TMP)
        return str(folder)


class MaildirWriting:
    """A message on its way into a Maildir; visible to readers at `commit`."""

    def __init__(self, folder: str, name: str, syncs: FolderSyncs) -> None:
        self._syncs = syncs
        self._new = f"{folder}/{_NEW}"
        self._final = f"{folder}/{_NEW}/{name}"
        self._tmp = f"{folder}/{_TMP}/{name[:180]}.{os.getpid()}_{next(_numbers)}"
        self._file: int | None = os.open(self._tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, octets: Sequence[bytes]) -> None:
        """Append; raises OSError."""
        if self._file is None:
            raise ValueError("written after its end")
        left = [memoryview(part) for part in octets if part]
        while left:
            written = os.writev(self._file, left[:_MAX_VECTORS])
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = left[0][written:]

    def commit(self) -> None:
        """Make it durable and visible; raises OSError, and then the same again is right."""
        if self._file is None:
            raise ValueError("committed after its end")
        os.fsync(self._file)
        self._close()
        os.rename(self._tmp, self._final)  # noqa: PTH104 (a Path costs more than the call)
        self._syncs.sync(self._new)

    def abort(self) -> None:
        """Leave nothing behind of what was not committed."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._tmp)  # noqa: PTH108 (see commit)

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


def _made(parent: Path, component: str) -> Path:
    folder = parent / component
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return folder
    fsync_folder(str(parent))
    return folder


def _sweep(tmp: Path) -> None:
    """Remove what a crash left in `tmp/` long ago."""
    before = time.time() - STALE_TMP_SECONDS  # compared with the disk's times, not with ours
    with contextlib.suppress(OSError), os.scandir(tmp) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(entry.path)  # noqa: PTH108 (a DirEntry gives text)
