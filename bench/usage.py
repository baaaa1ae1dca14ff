"""What processes cost: CPU time and resident memory, from /proc (proc(5)), descendants included."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
SAMPLE_EVERY_SECONDS: Final = 0.5
QUIET_SECONDS: Final = 0.5
QUIET_SHARE: Final = 0.1  # of a core, which a cluster at rest does not need

Groups = Callable[[], Mapping[str, Sequence[int]]]


@dataclass
class Usage:
    """CPU seconds used and the highest resident size seen, by group of processes."""

    cpu_seconds: dict[str, float] = field(default_factory=dict)
    peak_octets: dict[str, int] = field(default_factory=dict)


class Meter:
    """Measure groups of processes from `start` to `stop`.

    A group is a name with the ids of its topmost processes; their descendants belong to it unless they are another
    group's topmost. CPU time includes that of children who have ended. A page that several processes share is divided
    among them (proportional set size), so that a system of many small processes is not charged for it many times.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._stopped = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._before: dict[str, float] = {}
        self._usage = Usage()

    def start(self) -> None:
        """Begin."""
        table = _process_table()
        self._before = {name: _cpu_seconds(members, table) for name, members in self._members(table).items()}
        self._sampler.start()

    def wait_until_quiet(self, within_seconds: float, *, quiet_seconds: float = QUIET_SECONDS) -> None:
        """Wait until the groups have used next to no CPU for a while, so that what they put off counts too."""
        deadline = time.monotonic() + within_seconds
        used = self._used()
        while time.monotonic() < deadline:
            time.sleep(quiet_seconds)
            before, used = used, self._used()
            if used - before <= QUIET_SHARE * quiet_seconds:
                return

    def stop(self) -> Usage:
        """End, and tell."""
        self._stopped.set()
        self._sampler.join()
        table = _process_table()
        for name, members in self._members(table).items():
            self._usage.cpu_seconds[name] = _cpu_seconds(members, table) - self._before.get(name, 0.0)
        self._note_peaks()
        return self._usage

    def _used(self) -> float:
        table = _process_table()
        return sum(_cpu_seconds(members, table) for members in self._members(table).values())

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_EVERY_SECONDS):
            self._note_peaks()

    def _note_peaks(self) -> None:
        peaks = self._usage.peak_octets
        for name, members in self._members(_process_table()).items():
            peaks[name] = max(peaks.get(name, 0), sum(resident_octets(member) for member in members))

    def _members(self, table: Mapping[int, "_Stat"]) -> dict[str, set[int]]:
        children = defaultdict(list)
        for process, stat in table.items():
            children[stat.parent].append(process)
        groups = self._groups()
        all_tops = {top for tops in groups.values() for top in tops}
        members: dict[str, set[int]] = {}
        for name, tops in groups.items():
            members[name] = set()
            waiting = [top for top in tops if top in table]
            while waiting:
                process = waiting.pop()
                members[name].add(process)
                waiting.extend(child for child in children[process] if child not in all_tops)
        return members


@dataclass(frozen=True)
class _Stat:
    parent: int
    cpu_seconds: float


def _cpu_seconds(members: set[int], table: Mapping[int, _Stat]) -> float:
    return sum(table[member].cpu_seconds for member in members)


def _process_table() -> dict[int, _Stat]:
    table = {}
    for folder in os.scandir("/proc"):
        if folder.name.isdigit():
            text = _read(Path(folder.path, "stat"))
            # After the name, which may hold anything: state is field 3, the parent 4, utime to cstime 14 to 17.
            fields = text.rpartition(")")[2].split()
            if fields:
                table[int(folder.name)] = _Stat(int(fields[1]), sum(map(int, fields[11:15])) / TICKS_PER_SECOND)
    return table


def resident_octets(process: int) -> int:
    """Give the memory of one process (proportional set size); 0 once it has ended."""
    for line in _read(Path(f"/proc/{process}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # the process has ended meanwhile
