"""When a disk is short of room, and how it is said."""

from pathlib import Path

import pytest

from tripost_shared.disk_space import ENOUGH_FROM, SHORT_BELOW, free_octets, is_short, room_left


@pytest.mark.parametrize(
    ("free", "was_short", "short"),
    [
        pytest.param(0, False, True, id="full"),
        pytest.param(SHORT_BELOW - 1, False, True, id="falls below the floor"),
        pytest.param(SHORT_BELOW, False, False, id="at the floor from above"),
        pytest.param(SHORT_BELOW, True, True, id="at the floor from below"),
        pytest.param(ENOUGH_FROM - 1, True, True, id="not enough again yet"),
        pytest.param(ENOUGH_FROM, True, False, id="enough again"),
    ],
)
def test_a_disk_that_was_short_needs_more_to_count_as_having_room(free: int, was_short: bool, short: bool) -> None:
    assert is_short(free, was_short=was_short) is short


@pytest.mark.parametrize(
    ("free", "words"),
    [
        pytest.param(0, "the disk of /srv/var is full", id="nothing"),
        pytest.param((1 << 20) - 1, "the disk of /srv/var is full", id="less than a megabyte"),
        pytest.param(12 << 20, "the disk of /srv/var has 12 MB left", id="a little"),
    ],
)
def test_what_is_left_is_said_in_megabytes(free: int, words: str) -> None:
    assert room_left(Path("/srv/var"), free) == words


def test_a_folder_that_is_not_there_cannot_be_asked(tmp_path: Path) -> None:
    assert free_octets(tmp_path) > 0
    with pytest.raises(FileNotFoundError):
        free_octets(tmp_path / "gone")
