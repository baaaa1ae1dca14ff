"""Files that are put in place as a whole."""

import os
import stat
from pathlib import Path

import pytest

from tripost_shared.files import put_in_place, write_private


def test_a_private_file_is_its_owners_alone_whatever_was_there(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "nats-edge"
    put_in_place(file, b"for all\n", mode=0o644)
    write_private(file, "for one\n")
    assert file.read_text() == "for one\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of another")
    file = tmp_path / "file"
    file.symlink_to(elsewhere)
    write_private(file, "ours")
    assert not file.is_symlink()
    assert elsewhere.read_text() == "of another"


def test_the_file_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    seen: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _descriptor: seen.append(file.exists()))
    write_private(file, "text")
    assert seen == [False]


def test_what_could_not_be_written_leaves_the_former_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_private(file, "former")

    def full(_descriptor: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_private(file, "new")
    assert file.read_text() == "former"
    assert list(tmp_path.iterdir()) == [file]
