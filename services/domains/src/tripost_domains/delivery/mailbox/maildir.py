"""Durable delivery to a Maildir: tmp, fsync, rename, fsync of the folder. All calls block; see `workers`.

When `commit` or `deliver_all` has returned, a crash of the machine loses neither the file nor its name.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from tripost_domains.delivery.mailbox.folder_sync import FolderSyncs

STALE_TMP_SECONDS: Final = 36 * 3600  # as the Maildir protocol has it
MAX_KNOWN_FOLDERS: Final = 20_000
_TMP: Final = "tmp"
_NEW: Final = "new"
_CUR: Final = "cur"
_MAX_VECTORS: Final = 64  # far below IOV_MAX

_numbers = count()
_PROCESS: Final = secrets.token_hex(6)  # as process 1 of a container we have the same number after a crash


class Delivery(NamedTuple):
    """A message that is at hand as a whole: its mailbox's folder, its file's name, and its octets in parts."""

    mailbox: PurePath
    name: str
    octets: Sequence[bytes]


class MaildirStore:
    """The Maildirs below one folder; remembers which of them exist."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[PurePath, str] = {}
        self._syncs = FolderSyncs()

    def deliver_all(self, deliveries: Sequence[Delivery]) -> list[OSError | None]:
        """Write messages; gives for each None or what the disk said. The same name again replaces a message.

        Each is on its way to the disk before the first is waited for, and a folder is synced once for all: that halves
        what a message costs from four on (docs/decisions/0010).
        """
        batch = _Batch(self, deliveries)
        try:
            batch.write()
            batch.each(MaildirWriting.flush)
            batch.each(MaildirWriting.show)
            batch.sync_folders(self._syncs)
        except BaseException:
            batch.abort()
            raise
        return batch.outcomes

    def begin(self, mailbox: PurePath, name: str) -> "MaildirWriting":
        """Begin to write a message; raises OSError."""
        folder = self._known.get(mailbox) or self._make(mailbox)
        make_again = partial(self._make, mailbox)
        try:
            return MaildirWriting(folder, name, self._syncs, make_again)
        except FileNotFoundError:  # removed since we last looked
            return MaildirWriting(make_again(), name, self._syncs, make_again)

    def find(self, mailbox: PurePath, name: str, stem: str) -> str | None:
        """Look for a message that an earlier attempt delivered: gives "new", "cur" or None; raises OSError.

        The earlier attempt may have ended before the name was durable, so it is made so. Where that fails nothing is
        found, and the message is to be written anew: the next fsync would succeed with nothing on the disk.

        `name` is what this attempt would call the file. Under another name, which begins with `stem`, it is found by
        reading the whole folders (18 ms for 50,000 files), so ask only where there may have been an earlier attempt.
        """
        found = _located(f"{self._root}/{mailbox}", name, stem)
        if found is None:
            return None
        folder = self._known.get(mailbox) or self._make(mailbox)
        part, found_name = found
        try:
            self._syncs.sync(f"{folder}/{part}")
        except OSError:
            if part == _NEW:  # what is in cur/ is its reader's
                _remove(f"{folder}/{part}/{found_name}")
            return None
        return part

    def _make(self, mailbox: PurePath) -> str:
        """Make sure that the folder and its three parts are there, durably; sweeps its `tmp/`."""
        if not self._root.is_dir():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._syncs.sync(str(self._root.parent))
        folder = str(self._root)
        for component in mailbox.parts:
            self._make_in(folder, component)
            folder = f"{folder}/{component}"
        self._make_in(folder, _TMP, _NEW, _CUR)
        if len(self._known) >= MAX_KNOWN_FOLDERS:
            self._known.clear()
        self._known[mailbox] = folder
        _sweep(f"{folder}/{_TMP}")
        return folder

    def _make_in(self, parent: str, *components: str) -> None:
        """Make sure that folders are in their parent, durably, also when another thread or process has made them."""
        made = [path for path in (f"{parent}/{component}" for component in components) if _was_made(path)]
        try:
            self._syncs.sync(parent)
        except OSError:
            for path in made:  # to be made anew: the next fsync would succeed with nothing on the disk
                with contextlib.suppress(OSError):
                    os.rmdir(path)  # noqa: PTH106 (the paths here are text)
            raise


class MaildirWriting:
    """A message on its way into a Maildir; visible to readers at `commit`.

    `make_again` makes those of the Maildir's folders that are missing, durably.
    """

    def __init__(self, folder: str, name: str, syncs: FolderSyncs, make_again: Callable[[], object]) -> None:
        self._syncs = syncs
        self._make_again = make_again
        self.folder = f"{folder}/{_NEW}"  # where it will be seen
        self._final = f"{folder}/{_NEW}/{name}"
        self._path = f"{folder}/{_TMP}/{name[:180]}.{_PROCESS}_{next(_numbers)}"  # where it is now
        self._is_kept = False
        self._file: int | None = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, octets: Sequence[bytes]) -> None:
        """Append; raises OSError."""
        file = self._open_file()
        left = [memoryview(part) for part in octets if part]
        while left:
            written = os.writev(file, left[:_MAX_VECTORS])
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = left[0][written:]

    def begin_writeback(self) -> None:
        """Have the kernel begin to write, without waiting for it."""
        os.posix_fadvise(self._open_file(), 0, 0, os.POSIX_FADV_DONTNEED)  # on pages that are dirty it does just this

    def flush(self) -> None:
        """Make what was written durable; raises OSError."""
        os.fsync(self._open_file())

    def show(self) -> None:
        """Make the message visible, not yet durably; raises OSError."""
        self._close()
        try:
            self._rename()
        except FileNotFoundError:  # `new/` was removed since we last looked, or the message with the whole Maildir
            self._make_again()
            self._rename()

    def keep(self) -> None:
        """Note that it is durable: from now on `abort` leaves it there."""
        self._is_kept = True

    def commit(self) -> None:
        """Make it durable and visible; raises OSError, and then the same again is right."""
        self.flush()
        self.show()
        self._syncs.sync(self.folder)
        self.keep()

    def abort(self) -> None:
        """Leave nothing behind of what was not committed.

        What is visible already goes too: its name may never be durable, and the next attempt must not find it.
        """
        with contextlib.suppress(OSError):
            self._close()
        if not self._is_kept:
            _remove(self._path)

    def _rename(self) -> None:
        os.rename(self._path, self._final)  # noqa: PTH104 (a Path costs more than the call)
        self._path = self._final

    def _open_file(self) -> int:
        if self._file is None:
            raise ValueError("used after its end")
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


class _Batch:
    """Deliveries that go through the steps together; one that the disk refuses is left out of the next steps."""

    def __init__(self, store: MaildirStore, deliveries: Sequence[Delivery]) -> None:
        self.outcomes: list[OSError | None] = [None] * len(deliveries)
        self._store = store
        self._deliveries = deliveries
        self._writings: dict[int, MaildirWriting] = {}

    def write(self) -> None:
        for number, delivery in enumerate(self._deliveries):
            try:
                self._writings[number] = writing = self._store.begin(delivery.mailbox, delivery.name)
                writing.write(delivery.octets)
            except OSError as error:
                self._refused(number, error)
        if len(self._writings) > 1:
            self.each(MaildirWriting.begin_writeback)

    def each(self, step: Callable[[MaildirWriting], None]) -> None:
        for number, writing in list(self._writings.items()):
            try:
                step(writing)
            except OSError as error:
                self._refused(number, error)

    def sync_folders(self, syncs: FolderSyncs) -> None:
        for folder in {writing.folder for writing in self._writings.values()}:
            numbers = [number for number, writing in self._writings.items() if writing.folder == folder]
            try:
                syncs.sync(folder)
            except OSError as error:
                for number in numbers:
                    self._refused(number, error)
            else:
                for number in numbers:
                    self._writings[number].keep()

    def abort(self) -> None:
        for writing in self._writings.values():
            writing.abort()

    def _refused(self, number: int, error: OSError) -> None:
        self.outcomes[number] = error
        writing = self._writings.pop(number, None)
        if writing is not None:
            writing.abort()


def _located(folder: str, name: str, stem: str) -> tuple[str, str] | None:
    """Give the part of the Maildir that holds a message, and its name there."""
    if os.path.lexists(f"{folder}/{_NEW}/{name}"):
        return _NEW, name
    for part in (_NEW, _CUR):
        with contextlib.suppress(FileNotFoundError), os.scandir(f"{folder}/{part}") as entries:
            for entry in entries:
                if entry.name.startswith(stem):
                    return part, entry.name
    return None


def _was_made(folder: str) -> bool:
    """Make a folder; False: it was there."""
    try:
        os.mkdir(folder, 0o700)  # noqa: PTH102 (the paths here are text)
    except FileExistsError:
        return False
    return True


def _remove(path: str) -> None:
    """Remove a file, if it is there and the disk lets us."""
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 (a Path costs more than the call)


def _sweep(tmp: str) -> None:
    """Remove what a crash left in `tmp/` long ago."""
    before = time.time() - STALE_TMP_SECONDS  # compared with the disk's times, not with ours
    with contextlib.suppress(OSError), os.scandir(tmp) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(entry.path)  # noqa: PTH108 (a DirEntry gives text)
