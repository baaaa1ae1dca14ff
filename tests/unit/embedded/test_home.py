"""The folder of the cluster's state."""

import os
import stat
from pathlib import Path

import pytest

from tripost_embedded.credentials import nats_passwords
from tripost_embedded.home import MARK, hold, make_folders, open_home
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


def test_the_folder_is_marked_as_ours(tmp_path: Path) -> None:
    assert (open_home(tmp_path / "var", None, tmp_path / "root").path / MARK).exists()
