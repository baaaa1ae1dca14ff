"""The watch over the disk tells once of each change, and acts once there is room again."""

from pathlib import Path

import pytest

from tripost_embedded.disk_watch import DiskWatch

FOLDER = Path("/srv/var")
MB = 1 << 20


class Watched:
    """A watch, and what it said and did over a series of looks; None: the disk cannot be asked."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._free: int | None = 0
        self._watch = DiskWatch(FOLDER, self.told.append, self._renew, self._ask)

    async def see(self, *free: int | None) -> None:
        for self._free in free:
            await self._watch.look()

    def _ask(self, folder: Path) -> int:
        assert folder == FOLDER
        if self._free is None:
            raise OSError("Input/output error")
        return self._free

    async def _renew(self) -> None:
        self.told.append("(restarts)")


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_a_disk_with_room_is_not_spoken_of(watched: Watched) -> None:
    await watched.see(500 * MB, 33 * MB, 500 * MB)
    assert watched.told == []


async def test_a_shortage_is_told_once_and_its_end_once(watched: Watched) -> None:
    await watched.see(500 * MB, 31 * MB, 12 * MB, 0, 0)
    assert watched.told == ["the disk of /srv/var has 31 MB left: make room (48 MB), or mail is answered with 451"]
    watched.told.clear()
    await watched.see(500 * MB, 500 * MB)
    assert watched.told == ["there is room again: the disk of /srv/var has 500 MB left", "(restarts)"]


async def test_a_disk_that_wavers_about_the_floor_is_told_once(watched: Watched) -> None:
    await watched.see(31 * MB, 33 * MB, 31 * MB, 40 * MB)
    assert len(watched.told) == 1


async def test_each_shortage_has_its_restart(watched: Watched) -> None:
    await watched.see(0, 100 * MB, 0, 100 * MB)
    assert watched.told.count("(restarts)") == 2


async def test_a_disk_that_cannot_be_asked_counts_as_it_did_before(watched: Watched) -> None:
    await watched.see(None, 0, None, None)
    assert watched.told == ["the disk of /srv/var is full: make room (48 MB), or mail is answered with 451"]
