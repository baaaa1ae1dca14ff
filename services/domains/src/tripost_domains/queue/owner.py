"""The name under which a process claims deliveries: its own while it runs, and that of whoever starts in its place.

Host and process number do not make it: a killed process comes again under another number, and in two containers that
share a host's name both have number 1. So a name is kept in a file beside the mail, and whoever has locked the file
bears the name. The kernel unlocks it when the process has ended, whatever ended it, and not before; so what is still
claimed under the name is nobody's, and a process that runs on the same host holds another file.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tripost_domains.delivery.mailbox.folder_sync import fsync_folder
from tripost_domains.delivery.mailbox.workers import DiskWorkers

FOLDER: Final = ".owners"  # in the folder of the mail: no domain's name begins with a dot
MAX_OWNERS: Final = 64
TAKE_WITHIN_SECONDS: Final = 5.0  # a disk that hangs keeps no mail from next hops

_KEPT: Final = re.compile(rb"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Owner:
    """A name, and the descriptor of the file that keeps it; None where none does, and the name ends with the process.

    `because` says why none does.
    """

    name: str
    descriptor: int | None = None
    because: str = ""

    def leave(self) -> None:
        """Let another process have the name, which claims nothing under it any more."""
        if self.descriptor is not None:
            os.close(self.descriptor)


async def take_owner_in_time(mail: Path, hostname: str) -> Owner:
    """Do as `take_owner` in a thread; a disk that does not answer gives a name that nothing keeps."""
    workers = DiskWorkers(1)
    workers.start()
    try:
        async with asyncio.timeout(TAKE_WITHIN_SECONDS):
            owner = await workers.run(partial(take_owner, mail, hostname))
    except TimeoutError:  # the thread is left where it hangs
        return nobodys_heir(hostname, f"{mail}: no answer in time")
    await workers.stop()
    return owner


def take_owner(mail: Path, hostname: str) -> Owner:
    """Take the first name that no process bears; blocks for as long as the disk does.

    The host's name is part of it: storage that several hosts share may know locks of one host alone.
    """
    try:
        _make(mail)
        for number in range(MAX_OWNERS):
            held = _hold(mail / FOLDER / str(number))
            if held is not None:
                kept, descriptor = held
                return Owner(f"{hostname}/{kept}", descriptor)
    except OSError as error:
        return nobodys_heir(hostname, f"{error.filename or mail}: {error.strerror}")
    return nobodys_heir(hostname, f"{mail / FOLDER}: {MAX_OWNERS} processes")


def nobodys_heir(hostname: str, because: str) -> Owner:
    """Give a name that no other process has had or will have; what it claims runs out by itself after a crash."""
    return Owner(f"{hostname}/{_new()}", because=because)


def _make(mail: Path) -> None:
    if not mail.is_dir():
        mail.mkdir(mode=0o700, parents=True, exist_ok=True)
        fsync_folder(str(mail.parent))  # mailboxes rely on it for a folder that is there
    (mail / FOLDER).mkdir(mode=0o700, exist_ok=True)


def _hold(path: Path) -> tuple[str, int] | None:
    """Lock the file until the process ends, and give what it keeps; None: another process has it. Raises OSError."""
    with contextlib.ExitStack() as stack:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        kept = _kept_in(descriptor)
        stack.pop_all()  # held from here on
    return kept, descriptor


def _kept_in(descriptor: int) -> str:
    """Read the name's own part; where a crash has left none that is whole, a new one."""
    kept = os.pread(descriptor, 100, 0)
    if _KEPT.fullmatch(kept):
        return kept.decode()
    fresh = _new()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, fresh.encode(), 0)
    return fresh


def _new() -> str:
    return secrets.token_hex(8)
