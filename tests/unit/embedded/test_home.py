"""The folder of the cluster's state."""

import os
import stat
from pathlib import Path

import pytest

from tripost_embedded.credentials import database_key, nats_passwords, require_private
from tripost_embedded.home import MARK, hold, make_folders, open_home
from tripost_shared.logins.sealing import LoginKey
from tripost_shared.settings import SettingsError


def test_the_folder_is_made_closed_to_others(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert not home.is_elsewhere


def test_a_second_cluster_on_the_same_state_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    make_folders(home)
    held = hold(home)
    with pytest.raises(SettingsError, match=rf"runs on {home.asked} already \(process {os.getpid()}\)"):
        hold(home)
    os.close(held)


def test_the_state_can_be_held_again_when_the_first_has_ended(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    make_folders(home)
    os.close(hold(home))
    held = hold(home)
    assert (home.path / "run/cluster.lock").read_text().split() == [str(os.getpid())]
    os.close(held)


@pytest.mark.parametrize("asked", ["file", "file/var", "file/state/var"])
def test_a_place_that_is_a_file_or_in_one_is_refused_by_the_settings_name(tmp_path: Path, asked: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=rf"TRIPOST_HOME: {tmp_path}/file is not a folder$"):
        open_home(tmp_path / asked, None, tmp_path / "root")


def test_nats_passwords_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    make_folders(home)
    first = nats_passwords(home, ("edge", "filter"))
    assert first == nats_passwords(home, ("edge", "filter"))
    assert len(set(first.values())) == 2
    assert stat.S_IMODE(home.password_file("edge").stat().st_mode) == 0o600


def test_the_key_of_the_database_s_secrets_is_made_once_and_can_be_read_as_one(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    make_folders(home)
    path = database_key(home)
    LoginKey.read(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    assert database_key(home).read_text() == before


def test_the_folder_is_marked_as_ours(tmp_path: Path) -> None:
    assert (open_home(tmp_path / "var", None, tmp_path / "root").path / MARK).exists()


def test_what_is_in_it_is_closed_to_others_again(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    make_folders(home)
    (home.path / "secrets").chmod(0o777)
    make_folders(home)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in home.path.iterdir() if folder.is_dir()} == {0o700}


@pytest.mark.parametrize("name", [".", MARK])
def test_state_that_others_may_write_is_not_taken_over(tmp_path: Path, name: str) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    (home.path / name).chmod(0o722)
    with pytest.raises(SettingsError, match=r"is writable by others .* not taken over\. Set TRIPOST_HOME .* chmod"):
        open_home(tmp_path / "var", None, tmp_path / "root")


def test_a_mark_that_is_a_link_is_not_believed(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    (home.path / MARK).rename(tmp_path / "mark")
    (home.path / MARK).symlink_to(tmp_path / "mark")
    with pytest.raises(SettingsError, match=f"{MARK} is no plain file"):
        open_home(tmp_path / "var", None, tmp_path / "root")


def test_a_new_folder_of_ones_own_may_be_open_and_is_closed(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var").chmod(0o775)
    assert stat.S_IMODE(open_home(tmp_path / "var", None, tmp_path / "root").path.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o620, 0o604])
def test_a_password_that_others_can_know_is_refused(tmp_path: Path, mode: int) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    make_folders(home)
    nats_passwords(home, ("edge",))
    home.password_file("edge").chmod(mode)
    with pytest.raises(SettingsError, match=r"secrets/nats-edge is \w+ by others .* Remove it, and another is made"):
        nats_passwords(home, ("edge",))
    require_private(home.path / "tls" / "edge.key")  # there is none


def test_a_lock_that_the_disk_refuses_is_a_wrong_setting_that_names_the_place(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    lock = home.path / "run" / "cluster.lock"
    lock.mkdir(parents=True)
    with pytest.raises(SettingsError, match=f"TRIPOST_HOME: Is a directory: {lock}"):
        hold(home)


def test_a_file_where_a_folder_must_be_is_named(tmp_path: Path) -> None:
    home = open_home(tmp_path / "var", None, tmp_path / "root")
    (home.path / "log").write_text("")
    with pytest.raises(SettingsError, match=f"TRIPOST_HOME: {home.path}/log is not a folder"):
        make_folders(home)
