"""The folder of the state is there before anything is written to it."""

import os
import pwd
import stat
from pathlib import Path

import pytest

from tripost_shared.home import make_home
from tripost_shared.settings import CommonSettings, SettingsError


def settings(home: Path) -> CommonSettings:
    return CommonSettings(home=home, hostname="mx.example", run_user="nobody")


def test_a_missing_one_is_made_for_nobody_else_to_read(tmp_path: Path) -> None:
    home = tmp_path / "above" / "home"
    make_home(settings(home))
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    (home / "state").write_text("ours")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_root_makes_belongs_to_the_user_that_the_service_becomes(tmp_path: Path) -> None:
    make_home(settings(tmp_path / "home"))
    assert (tmp_path / "home").stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    make_home(settings(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_one_that_cannot_be_made_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(SettingsError, match=r"^TRIPOST_HOME: the folder .* cannot be made: "):
            make_home(settings(home))
