"""How much memory is in use: of the control group that bounds us (a container), and of this process."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tripost_edge.limits.load import MemoryUse

CGROUPS: Final = Path("/sys/fs/cgroup")
PROCESS: Final = Path("/proc/self")
UNBOUND: Final = 1 << 60  # version 1 says so many octets where there is no bound
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class _Names(NamedTuple):
    """The files of one version of control groups. `reclaimable`: what counts as used and is given back when needed.

    That is all of the page cache, the active half of it too: a server that stores mail fills it up to the bound.
    """

    bound: str
    used: str
    reclaimable: frozenset[str]


V1: Final = _Names(
    "memory.limit_in_bytes", "memory.usage_in_bytes", frozenset({"total_inactive_file", "total_active_file"})
)
V2: Final = _Names("memory.max", "memory.current", frozenset({"inactive_file", "active_file", "slab_reclaimable"}))


class Memory:
    """Reads what the system tells; what cannot be read bounds nothing."""

    def __init__(self, cgroups: Path = CGROUPS, process: Path = PROCESS) -> None:
        self._process = process
        self._bounding = _bounding(cgroups, process)

    def use(self) -> MemoryUse:
        """Read it anew."""
        process = _pages(self._process / "statm") * PAGE
        if self._bounding is None:
            return MemoryUse(process=process)
        folder, names = self._bounding
        bound = _number(folder / names.bound)
        used = _number(folder / names.used) - _entries(folder / "memory.stat", names.reclaimable)
        return MemoryUse(max(0, used), bound if 0 < bound < UNBOUND else 0, process)


def _bounding(cgroups: Path, process: Path) -> tuple[Path, _Names] | None:
    """Find the group with the smallest bound among ours and those above it."""
    found = [
        (bound, folder, names)
        for folder, names in _groups(cgroups, process)
        if 0 < (bound := _number(folder / names.bound)) < UNBOUND
    ]
    if not found:
        return None
    _, folder, names = min(found, key=lambda each: each[0])
    return folder, names


def _groups(cgroups: Path, process: Path) -> Iterator[tuple[Path, _Names]]:
    try:
        lines = (process / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:  # `0::/path` (version 2), or `4:memory:/path`
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        names, top = (V1, cgroups / "memory") if controllers else (V2, cgroups)
        own = Path(path.lstrip("/"))
        for each in (own, *own.parents):
            yield top / each, names


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # `max`: unbounded
        return 0


def _entries(file: Path, names: frozenset[str]) -> int:
    """Add up the entries of these names."""
    try:
        entries = [line.partition(" ") for line in file.read_text().splitlines()]
        return sum(int(value) for key, _, value in entries if key in names)
    except (OSError, ValueError):
        return 0


def _pages(file: Path) -> int:
    """Give the second number, the resident pages."""
    try:
        return int(file.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
