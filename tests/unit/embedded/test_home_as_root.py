"""The folder of the cluster's state when root starts it: whose it may be, and to whom it is given."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tripost_embedded.credentials import nats_passwords, require_private
from tripost_embedded.home import MARK, hold, make_folders, open_home
from tripost_shared.privileges import RunUser, acting_as
from tripost_shared.settings import SettingsError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
NOBODY = RunUser.named("nobody")
DAEMON = pwd.getpwnam("daemon").pw_uid


@pytest.fixture
def place() -> Iterator[Path]:
    """A place for the state that every user can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="tripost-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "var"


def start(place: Path) -> None:
    """Do what a start of the cluster by root does to its state."""
    home = open_home(place, NOBODY, place.parent / "root")
    with acting_as(NOBODY):
        make_folders(home)
        os.close(hold(home))
        nats_passwords(home, ("edge",))
        require_private(home.path / "tls" / "edge.key")


def owners(place: Path) -> set[int]:
    return {path.lstat().st_uid for path in (place, *place.rglob("*"))}


def test_it_belongs_to_the_run_user_and_is_taken_again(place: Path) -> None:
    start(place)
    kept = (place / "secrets" / "nats-edge").read_text()
    start(place)
    assert owners(place) == {NOBODY.uid}
    assert (place / "secrets" / "nats-edge").read_text() == kept


def test_state_that_another_user_has_prepared_is_refused_with_whose_it_is(place: Path) -> None:
    """Who has laid the passwords ready could log in to NATS and read all log-ins."""
    (place / "secrets").mkdir(mode=0o700, parents=True)
    for name in (MARK, "secrets/nats-edge"):
        (place / name).write_text("known to daemon")
    for path in (place, *place.rglob("*")):
        os.chown(path, DAEMON, DAEMON)
    with pytest.raises(SettingsError, match=rf"{place} belongs to user daemon, .* chown -R nobody: {place}"):
        start(place)
    assert owners(place) == {DAEMON}


def test_a_mark_of_another_user_makes_no_folder_ours(place: Path) -> None:
    place.mkdir()
    (place / MARK).write_text("")
    os.chown(place / MARK, DAEMON, DAEMON)
    with pytest.raises(SettingsError, match=f"{MARK} belongs to user daemon"):
        start(place)


def test_an_empty_folder_of_another_user_is_not_taken_either(place: Path) -> None:
    """It need not stay empty until it is ours."""
    place.mkdir()
    os.chown(place, DAEMON, DAEMON)
    with pytest.raises(SettingsError, match="belongs to user daemon"):
        start(place)


def test_an_empty_folder_that_others_may_write_is_refused(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(SettingsError, match="is writable by others"):
        start(place)


def test_nothing_of_another_user_in_it_is_given_to_the_run_user(place: Path) -> None:
    make_folders(open_home(place, None, place.parent / "root"))
    planted = place / "secrets" / "nats-edge"
    planted.write_text("known to daemon")
    os.chown(planted, DAEMON, DAEMON)
    with pytest.raises(SettingsError, match=f"{planted} belongs to user daemon"):
        start(place)
    assert planted.stat().st_uid == DAEMON


@pytest.mark.parametrize("name", ["run", "secrets/nats-edge", "tls/edge.key"])
def test_what_is_not_the_run_users_in_its_own_folder_is_refused(place: Path, name: str) -> None:
    start(place)
    (place / name).touch()
    os.chown(place / name, DAEMON, DAEMON)
    with pytest.raises(SettingsError, match=f"{place / name} belongs to user daemon"):
        start(place)


def test_ones_own_state_becomes_the_run_users_without_following_links(place: Path) -> None:
    home = open_home(place, None, place.parent / "root")
    make_folders(home)
    victim = place.parent / "victim"
    victim.write_text("")
    (home.path / "log" / "edge.log").symlink_to(victim)
    start(place)
    assert (home.path / "run").stat().st_uid == NOBODY.uid
    assert victim.stat().st_uid == 0


def test_a_foreign_folder_is_never_given_to_the_run_user(place: Path) -> None:
    place.mkdir()
    (place / "precious").write_text("")
    with pytest.raises(SettingsError, match="neither empty nor a folder of ours"):
        start(place)
