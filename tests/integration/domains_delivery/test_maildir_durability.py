"""What counts as delivered is durable, also what an earlier attempt has put there, on a disk that may break."""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from delivery_world import OCTETS, make_message, no_refusals
from tripost_domains.delivery.mailbox import folder_sync
from tripost_domains.delivery.mailbox.agent import MailboxAgent
from tripost_domains.delivery.mailbox.maildir import MaildirStore
from tripost_domains.delivery.mailbox.workers import DiskWorkers
from tripost_domains.delivery.outcome import Result, Trial
from tripost_domains.directory.model import MailboxDestination
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.contracts.spool import SpooledMessage

ANN = MailboxDestination("ann@dest.example", "dest.example", "ann")
FIRST, AGAIN = Trial(), Trial(may_be_repeated=True)
STORED_OR_NOT = pytest.mark.parametrize("stored", [False, True], ids=["inline", "stored"])

MakeAgent = Callable[[], MailboxAgent]


class WatchedFolders:
    """Fsyncs of folders: those that were made; one of a folder in `broken` fails, and the next one does not."""

    def __init__(self, root: Path) -> None:
        self.synced: list[str] = []
        self.broken: list[str] = []
        self._root = root
        self._fsync = folder_sync.fsync_folder

    def fsync(self, folder: str) -> None:
        name = str(Path(folder).relative_to(self._root.parent))
        if name in self.broken:
            self.broken.remove(name)  # the kernel tells of it once
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(folder)
        self.synced.append(name)


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def folders(mail: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedFolders:
    watched = WatchedFolders(mail)
    monkeypatch.setattr(folder_sync, "fsync_folder", watched.fsync)
    return watched


@pytest.fixture
def store() -> MemoryContentStore:
    return MemoryContentStore()


@pytest.fixture
async def new_agent(mail: Path, store: MemoryContentStore) -> AsyncIterator[MakeAgent]:
    """Make an agent that knows nothing of the others, as after a restart."""
    workers = DiskWorkers(2)
    workers.start()
    yield lambda: MailboxAgent(MaildirStore(mail), workers, store, "mail.ours.example", no_refusals())
    await workers.stop()


@pytest.fixture
def make(store: MemoryContentStore) -> Callable[[bool], SpooledMessage]:
    def make(stored: bool) -> SpooledMessage:
        return make_message("ann@dest.example", content=store.put("large", OCTETS) if stored else None)

    return make


def files(mail: Path, part: str = "new") -> list[Path]:
    return sorted((mail / "dest.example" / "ann" / part).iterdir())


def read_by_its_owner(mail: Path) -> None:
    (file,) = files(mail)
    file.rename(mail / "dest.example" / "ann" / "cur" / f"{file.name}:2,S")


@pytest.mark.parametrize("part", ["new", "cur"])
async def test_a_message_that_is_found_counts_once_its_name_is_durable(
    new_agent: MakeAgent, mail: Path, folders: WatchedFolders, part: str
) -> None:
    """Who put it there may have been killed between the rename and the folder's fsync."""
    message = make_message("ann@dest.example")
    await new_agent().deliver(message, ANN, FIRST)
    if part == "cur":
        read_by_its_owner(mail)
    folders.synced.clear()
    outcome = await new_agent().deliver(message, ANN, AGAIN)
    assert (outcome.result, f"found in {part}/" in outcome.detail) == (Result.DELIVERED, True)
    path = ["mail", "mail/dest.example", "mail/dest.example/ann"]
    assert folders.synced == [*path, f"mail/dest.example/ann/{part}"]


async def test_a_message_that_is_found_but_not_durable_is_written_anew(
    new_agent: MakeAgent, mail: Path, folders: WatchedFolders
) -> None:
    message = make_message("ann@dest.example")
    await new_agent().deliver(message, ANN, FIRST)
    (found,) = [file.stat().st_ino for file in files(mail)]
    folders.broken = ["mail/dest.example/ann/new"]
    with open(files(mail)[0], "rb"):  # so that its number is not used again  # noqa: ASYNC230, PTH123
        outcome = await new_agent().deliver(message, ANN, AGAIN)
        assert (outcome.result, outcome.detail) == (Result.DELIVERED, "")
        assert [file.stat().st_ino for file in files(mail)] != [found]
    assert folders.synced[-1] == "mail/dest.example/ann/new"


async def test_what_its_reader_has_is_left_there_when_its_name_cannot_be_made_durable(
    new_agent: MakeAgent, mail: Path, folders: WatchedFolders
) -> None:
    """A second copy is better than none."""
    message = make_message("ann@dest.example")
    await new_agent().deliver(message, ANN, FIRST)
    read_by_its_owner(mail)
    folders.broken = ["mail/dest.example/ann/cur"]
    assert (await new_agent().deliver(message, ANN, AGAIN)).result is Result.DELIVERED
    assert (len(files(mail)), len(files(mail, "cur"))) == (1, 1)


@STORED_OR_NOT
async def test_after_a_failed_fsync_of_the_folder_the_message_is_written_anew(
    new_agent: MakeAgent, mail: Path, folders: WatchedFolders, make: Callable[[bool], SpooledMessage], stored: bool
) -> None:
    """The next fsync succeeds with nothing on the disk: what was shown must not be found."""
    message = make(stored)
    folders.broken = ["mail/dest.example/ann/new"]
    assert (await new_agent().deliver(message, ANN, FIRST)).result is Result.DEFERRED
    assert files(mail) == files(mail, "tmp") == []
    outcome = await new_agent().deliver(message, ANN, AGAIN)
    assert (outcome.result, outcome.detail, len(files(mail))) == (Result.DELIVERED, "", 1)


async def test_a_mailbox_that_another_process_made_is_made_durable_once(
    new_agent: MakeAgent, mail: Path, folders: WatchedFolders
) -> None:
    """It may have been killed before it came to that."""
    for part in ("tmp", "new", "cur"):
        (mail / "dest.example" / "ann" / part).mkdir(parents=True)
    agent = new_agent()
    for _ in range(2):
        await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)
    path = ["mail", "mail/dest.example", "mail/dest.example/ann"]
    assert folders.synced == [*path, *["mail/dest.example/ann/new"] * 2]


@pytest.mark.parametrize("parent", ["mail", "mail/dest.example", "mail/dest.example/ann"])
async def test_a_folder_whose_parent_could_not_be_synced_is_made_anew(
    new_agent: MakeAgent, mail: Path, folders: WatchedFolders, parent: str
) -> None:
    folders.broken = [parent]
    agent = new_agent()
    assert (await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)).result is Result.DEFERRED
    assert list((mail.parent / parent).iterdir()) == []
    assert (await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)).result is Result.DELIVERED
    assert len(files(mail)) == 1


async def test_a_message_under_its_own_name_is_found_without_reading_the_folders(
    new_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = make_message("ann@dest.example")
    agent = new_agent()
    await agent.deliver(message, ANN, FIRST)

    def scandir(path: str) -> Any:
        raise AssertionError(f"{path} is read")

    monkeypatch.setattr(os, "scandir", scandir)
    outcome = await agent.deliver(message, ANN, AGAIN)
    assert outcome.detail == "found in new/ from an earlier attempt"


async def test_being_stopped_while_it_becomes_durable_leaves_the_message_there(
    new_agent: MakeAgent, mail: Path, make: Callable[[bool], SpooledMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, tasks = folder_sync.fsync_folder, list[asyncio.Task[Any]]()

    def fsync_and_stop(folder: str) -> None:
        fsync(folder)
        if folder.endswith("new"):
            loop.call_soon_threadsafe(tasks[0].cancel)

    monkeypatch.setattr(folder_sync, "fsync_folder", fsync_and_stop)
    loop, agent, message = asyncio.get_running_loop(), new_agent(), make(True)
    tasks.append(asyncio.create_task(agent.deliver(message, ANN, FIRST)))
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert len(files(mail)) == 1
    assert (await agent.deliver(message, ANN, AGAIN)).detail == "found in new/ from an earlier attempt"


def test_a_process_of_the_same_number_is_not_hindered_by_what_a_killed_one_left(tmp_path: Path) -> None:
    """In a container domains is process 1, before a crash and after it."""
    killed_while_writing = """
import os, sys
from pathlib import Path
os.getpid = lambda: 1
from tripost_domains.delivery.mailbox.maildir import MaildirStore
MaildirStore(Path(sys.argv[1])).begin(Path("ann"), "name")
os._exit(9)
"""
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", killed_while_writing, str(tmp_path)], check=False).returncode == 9
    assert len(list((tmp_path / "ann" / "tmp").iterdir())) == 2
