"""Durable delivery to Maildirs, on a real disk."""

import asyncio
import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from delivery_world import OCTETS, TOP, make_message, no_refusals
from tripost_domains.delivery.mailbox.agent import MailboxAgent
from tripost_domains.delivery.mailbox.maildir import STALE_TMP_SECONDS, Delivery, MaildirStore
from tripost_domains.delivery.mailbox.workers import DiskWorkers
from tripost_domains.delivery.outcome import Result, Trial
from tripost_domains.directory.model import MailboxDestination
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.mail.content import Content

ANN = MailboxDestination("ann@dest.example", "dest.example", "ann")
DELIVERED = Result.DELIVERED
STORED_OR_NOT = pytest.mark.parametrize("stored", [False, True], ids=["inline", "stored"])
FIRST, AGAIN = Trial(), Trial(may_be_repeated=True)


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def store() -> MemoryContentStore:
    return MemoryContentStore()


@pytest.fixture
async def agent(mail: Path, store: MemoryContentStore) -> AsyncIterator[MailboxAgent]:
    workers = DiskWorkers(2)
    workers.start()
    yield MailboxAgent(MaildirStore(mail), workers, store, "mail.ours.example", no_refusals())
    await workers.stop()


def files(mail: Path, part: str = "new") -> list[Path]:
    return sorted((mail / "dest.example" / "ann" / part).iterdir())


def modes(mail: Path) -> tuple[set[int], set[int]]:
    """The permissions of all folders, and of all files."""
    paths = [mail, *mail.rglob("*")]
    folders = {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()}
    return folders, {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()}


def with_lf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def in_the_way(folder: Path) -> None:
    folder.write_text("no folder")


async def test_the_message_is_in_new_with_return_path_delivered_to_and_trace_on_top(
    agent: MailboxAgent, mail: Path
) -> None:
    message = make_message("ann@dest.example")
    outcome = await agent.deliver(message, ANN, FIRST)
    assert outcome.result is Result.DELIVERED
    (file,) = files(mail)
    on_top = b"Return-Path: <ann@sender.example>\r\nDelivered-To: ann@dest.example\r\n"
    assert file.read_bytes() == with_lf(on_top + TOP + OCTETS)
    assert file.name.endswith(f",S={file.stat().st_size}")
    assert files(mail, "tmp") == []


async def test_folders_and_files_are_for_the_owner_alone(agent: MailboxAgent, mail: Path) -> None:
    await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)
    assert modes(mail) == ({0o700}, {0o600})


async def test_the_null_reverse_path_is_written_as_such(agent: MailboxAgent, mail: Path) -> None:
    await agent.deliver(make_message("ann@dest.example", reverse_path=""), ANN, FIRST)
    assert files(mail)[0].read_bytes().startswith(b"Return-Path: <>\n")


async def test_a_redelivery_replaces_the_file(agent: MailboxAgent, mail: Path) -> None:
    message = make_message("ann@dest.example")
    for trial in (FIRST, FIRST, AGAIN):
        assert (await agent.deliver(message, ANN, trial)).result is Result.DELIVERED
    assert len(files(mail)) == 1


@pytest.mark.parametrize("suffix", ["", ":2,S", ":2,RS"])
async def test_a_redelivery_does_nothing_when_the_reader_has_the_message(
    agent: MailboxAgent, mail: Path, suffix: str
) -> None:
    message = make_message("ann@dest.example")
    await agent.deliver(message, ANN, FIRST)
    (file,) = files(mail)
    file.rename(mail / "dest.example" / "ann" / "cur" / (file.name + suffix))
    outcome = await agent.deliver(message, ANN, AGAIN)
    assert outcome.result is Result.DELIVERED
    assert (len(files(mail)), len(files(mail, "cur"))) == (0, 1)


async def test_another_host_finds_what_the_first_one_delivered(agent: MailboxAgent, mail: Path) -> None:
    message = make_message("ann@dest.example")
    await agent.deliver(message, ANN, FIRST)
    (file,) = files(mail)
    file.rename(file.with_name(file.name.replace("mail.ours", "other.ours")))
    await agent.deliver(message, ANN, AGAIN)
    assert len(files(mail)) == 1


async def test_large_content_is_written_from_the_store(
    agent: MailboxAgent, mail: Path, store: MemoryContentStore
) -> None:
    octets = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 50_000
    message = make_message("ann@dest.example", content=store.put("large", octets))
    assert (await agent.deliver(message, ANN, FIRST)).result is Result.DELIVERED
    (file,) = files(mail)
    assert file.read_bytes().endswith(with_lf(TOP + octets))
    assert ",S=" not in file.name  # it would be a guess


async def test_content_that_cannot_be_read_leaves_nothing_behind(
    agent: MailboxAgent, mail: Path, store: MemoryContentStore
) -> None:
    content = store.put("short", b"Subject: x\r\n\r\n")
    missing = Content(size_octets=content.size_octets + 1, stored="short")
    outcome = await agent.deliver(make_message("ann@dest.example", content=missing), ANN, FIRST)
    assert (outcome.result, outcome.reply.code) == (Result.DEFERRED, 451)
    assert files(mail) == files(mail, "tmp") == []


@STORED_OR_NOT
@pytest.mark.parametrize(
    ("octets", "below_ours"),
    [
        pytest.param(b" continued\r\nbody\r\n", b"\n continued\nbody\n", id="a fold"),
        pytest.param(b"no header\r\n", b"\nno header\n", id="no header"),
        pytest.param(b"\r\nbody\r\n", b"\nbody\n", id="an empty header"),
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"From ann\r\nA: b\r\n\r\n", b"X-Mailbox-Line: From ann\nA: b\n\n", id="mbox"),
    ],
)
async def test_content_without_a_header_is_not_taken_for_one(
    agent: MailboxAgent, mail: Path, store: MemoryContentStore, stored: bool, octets: bytes, below_ours: bytes
) -> None:
    content = store.put("odd", octets) if stored else Content.of(octets)
    assert (await agent.deliver(make_message("ann@dest.example", content=content), ANN, FIRST)).result is DELIVERED
    assert files(mail)[0].read_bytes().endswith(with_lf(TOP) + below_ours)


@STORED_OR_NOT
async def test_delivered_to_is_not_believed(
    agent: MailboxAgent, mail: Path, store: MemoryContentStore, stored: bool
) -> None:
    """Anybody can write it; a bounce for it would go to whomever the sender claims to be."""
    octets = b"Subject: round\r\nDelivered-To: ann@dest.example\r\n\r\nbody\r\n"
    content = store.put("round", octets) if stored else Content.of(octets)
    assert (await agent.deliver(make_message("ann@dest.example", content=content), ANN, FIRST)).result is DELIVERED
    assert files(mail)[0].read_bytes().endswith(with_lf(octets))


class SlowDisk:
    """Holds a call back until it is told to go on; says when it has begun, when it has ended, and whether it failed."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.has_begun = threading.Event()
        self.goes_on = threading.Event()
        self.has_ended = threading.Event()
        self.failure: OSError | None = None

    def __call__(self, *args: object) -> object:
        self.has_begun.set()
        assert self.goes_on.wait(10)
        try:
            return self._call(*args)
        except OSError as error:
            self.failure = error
            raise
        finally:
            self.has_ended.set()


@pytest.mark.parametrize("call", ["open", "writev"])
async def test_being_stopped_while_a_thread_is_at_the_file_leaves_nothing_behind(
    agent: MailboxAgent, mail: Path, store: MemoryContentStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)
    descriptors = open_descriptors()
    slow = SlowDisk(getattr(os, call))
    monkeypatch.setattr(os, call, slow)
    message = make_message("ann@dest.example", content=store.put("large", OCTETS))
    delivering = asyncio.create_task(agent.deliver(message, ANN, FIRST))
    await asyncio.to_thread(slow.has_begun.wait, 10)
    delivering.cancel()
    await asyncio.sleep(0)
    assert len(files(mail, "tmp")) == (call == "writev")
    slow.goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    await asyncio.to_thread(slow.has_ended.wait, 10)
    assert slow.failure is None  # the file was still its own
    assert (len(files(mail)), files(mail, "tmp")) == (1, [])
    assert open_descriptors() == descriptors


@STORED_OR_NOT
@pytest.mark.parametrize(("part", "left"), [("", 0), ("new", 0), ("tmp", 1)], ids=["all", "new", "tmp"])
async def test_what_was_removed_of_a_mailbox_is_made_again(
    agent: MailboxAgent, mail: Path, store: MemoryContentStore, stored: bool, part: str, left: int
) -> None:
    await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)
    (mail / "dest.example" / "ann" / part).rename(mail / "moved")
    message = make_message("ann@dest.example", content=store.put("large", OCTETS) if stored else None)
    assert (await agent.deliver(message, ANN, FIRST)).result is Result.DELIVERED
    assert (len(files(mail)), files(mail, "tmp")) == (left + 1, [])


async def test_a_mailbox_without_a_safe_name_fails(agent: MailboxAgent) -> None:
    outcome = await agent.deliver(make_message("x"), MailboxDestination("x@..", "..", "x"), FIRST)
    assert (outcome.result, outcome.reply.enhanced) == (Result.FAILED, "5.1.3")


@pytest.mark.parametrize(
    ("number", "code", "enhanced"),
    [
        pytest.param(errno.ENOSPC, 452, "4.3.1", id="disk full"),
        pytest.param(errno.EDQUOT, 452, "4.2.2", id="over quota"),
        pytest.param(errno.EROFS, 451, "4.3.0", id="read-only"),
        pytest.param(errno.EIO, 451, "4.3.0", id="broken"),
    ],
)
async def test_what_the_disk_refuses_is_deferred(
    agent: MailboxAgent, mail: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, enhanced: str
) -> None:
    def refuse(_file: int) -> None:
        raise OSError(number, os.strerror(number))

    await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)
    monkeypatch.setattr(os, "fsync", refuse)
    outcome = await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)
    assert outcome.result is Result.DEFERRED
    assert (outcome.reply.code, outcome.reply.enhanced) == (code, enhanced)
    assert len(files(mail)) == 1
    assert files(mail, "tmp") == []


async def test_a_folder_that_is_no_folder_is_deferred(agent: MailboxAgent, mail: Path) -> None:
    in_the_way(mail)
    assert (await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)).result is Result.DEFERRED


def test_a_file_that_cannot_grow_is_removed_and_stops_no_other_of_its_batch(mail: Path) -> None:
    """A real refusal by the kernel: RLIMIT_FSIZE, in a process of its own."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path, PurePath\n"
        "from tripost_domains.delivery.mailbox.maildir import Delivery, MaildirStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "large = Delivery(PurePath('dest.example/ann'), 'large', [b'x' * 4096])\n"
        "small = Delivery(PurePath('dest.example/ann'), 'small', [b'x'])\n"
        "refused, written = MaildirStore(Path(sys.argv[1])).deliver_all([large, small])\n"
        "print(refused.errno, written)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(mail)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EFBIG), "None"]
    assert [file.name for file in files(mail)] == ["small"]
    assert files(mail, "tmp") == []


async def test_what_a_crash_left_in_tmp_is_removed_once_it_is_old(agent: MailboxAgent, mail: Path) -> None:
    tmp = mail / "dest.example" / "ann" / "tmp"
    tmp.mkdir(parents=True)
    for name, age in (("old", STALE_TMP_SECONDS + 60), ("young", 60)):
        (tmp / name).write_bytes(b"x")
        os.utime(tmp / name, (time.time() - age,) * 2)
    await agent.deliver(make_message("ann@dest.example"), ANN, FIRST)
    assert [file.name for file in files(mail, "tmp")] == ["young"]


def test_many_pieces_are_written_whole(mail: Path) -> None:
    pieces = [b"%d\n" % number for number in range(500)]
    store = MaildirStore(mail)
    assert store.deliver_all([Delivery(Path("dest.example/ann"), "name", pieces)]) == [None]
    assert files(mail)[0].read_bytes() == b"".join(pieces)
