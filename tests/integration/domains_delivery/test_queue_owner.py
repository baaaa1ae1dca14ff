"""Who claims under which name: what starts in the place of a dead process has its name, and no living one has."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from queue_world import ALL, LEASE, NOW, a_deferral, add
from tripost_domains.queue import owner
from tripost_domains.queue.model import Share
from tripost_domains.queue.owner import FOLDER, take_owner, take_owner_in_time
from tripost_domains.queue.repository import QueueRepository

HOST = "mx1.dest.example"
TAKE = f"""
import sys
from pathlib import Path
from tripost_domains.queue.owner import take_owner
owner = take_owner(Path(sys.argv[1]), {HOST!r})
print(owner.name, flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(mail: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A process that bears a name for as long as it lives; gives the name."""
    command = [sys.executable, "-c", TAKE, str(mail)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return tmp_path / "mail"


async def test_what_a_killed_process_had_claimed_is_due_at_once_and_what_a_living_one_has_is_not(
    mail: Path, database: AsyncEngine
) -> None:
    with another_process(mail) as (dead, process), another_process(mail) as (living, _):
        for name, recipient in ((dead, "ann@other.example"), (living, "bob@other.example")):
            await add(QueueRepository(database, name), a_deferral(recipient))
            await QueueRepository(database, name).claim_due(NOW, LEASE, ALL)
        process.kill()
        process.wait()
        successor = take_owner(mail, HOST)
        queue = QueueRepository(database, successor.name)
        assert await queue.give_back(NOW) == 1
        (again,) = (await queue.claim_due(NOW, LEASE, Share(100, 100, takes_over=False))).messages
        assert [claim.recipient.address for claim in again.claims] == ["ann@other.example"]
        assert again.may_be_settled
        successor.leave()


def test_a_name_is_borne_again_once_its_bearer_has_left_it(mail: Path) -> None:
    one, other = take_owner(mail, HOST), take_owner(mail, HOST)
    assert one.name != other.name
    one.leave()
    again = take_owner(mail, HOST)
    assert again.name == one.name
    for each in (other, again):
        each.leave()


def test_hosts_that_share_a_folder_whose_locks_they_do_not_see_have_names_of_their_own(mail: Path) -> None:
    first = take_owner(mail, HOST)
    first.leave()  # as it looks to the other host
    second = take_owner(mail, "mx2.dest.example")
    assert first.name != second.name
    second.leave()


def test_hosts_of_one_name_with_folders_of_their_own_have_names_of_their_own(tmp_path: Path) -> None:
    """As two containers whose processes have number 1 both."""
    here, there = (take_owner(tmp_path / folder / "mail", HOST) for folder in ("here", "there"))
    assert here.name != there.name
    for each in (here, there):
        each.leave()


@pytest.mark.parametrize("left", [b"", b"0123", b"\0" * 16, b"0123456789abcdef\n"])
def test_a_file_that_a_crash_has_left_without_a_whole_name_gets_a_new_one(mail: Path, left: bytes) -> None:
    (mail / FOLDER).mkdir(parents=True)
    (mail / FOLDER / "0").write_bytes(left)
    one = take_owner(mail, HOST)
    one.leave()
    again = take_owner(mail, HOST)
    assert again.name == one.name == f"{HOST}/{(mail / FOLDER / '0').read_text()}"
    assert len(one.name) == len(HOST) + 17
    again.leave()


def test_where_no_file_can_be_locked_a_name_is_never_borne_again(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("no folder")
    owners = [take_owner(tmp_path / "mail", HOST) for _ in range(2)]
    assert owners[0].name != owners[1].name
    assert [each.descriptor for each in owners] == [None, None]
    assert "mail" in owners[0].because


def test_more_processes_than_files_have_names_that_end_with_them(mail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "MAX_OWNERS", 1)
    first, second = take_owner(mail, HOST), take_owner(mail, HOST)
    assert first.descriptor is not None
    assert (second.descriptor, second.because) == (None, f"{mail / FOLDER}: 1 processes")
    assert second.name != first.name
    first.leave()


async def test_a_disk_that_hangs_does_not_keep_the_process_from_starting(
    mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(owner, "TAKE_WITHIN_SECONDS", 0.01)
    monkeypatch.setattr(owner, "_make", lambda _mail: goes_on.wait(10))
    taken = await take_owner_in_time(mail, HOST)
    goes_on.set()
    assert (taken.descriptor, taken.because) == (None, f"{mail}: no answer in time")


def test_the_folder_of_the_mail_is_made_if_need_be(mail: Path) -> None:
    taken = take_owner(mail, HOST)
    assert (taken.because, mail.stat().st_mode & 0o777, (mail / FOLDER).stat().st_mode & 0o777) == ("", 0o700, 0o700)
    taken.leave()
