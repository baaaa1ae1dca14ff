"""When a worker turns new clients away, and when it takes them again; what its memory is."""

from pathlib import Path

import pytest

from tripost_edge.defence.memory import PAGE, Memory
from tripost_edge.limits.load import SAMPLES, Lag, MemoryUse, Shedding
from tripost_shared.edge_limits import EdgeLimits

MIB = 1 << 20
LIMITS = EdgeLimits(shed_lag_seconds=1.0, shed_memory_percent=90, worker_memory_octets=100 * MIB)


def memory(percent: float = 0, process_mib: int = 0) -> MemoryUse:
    return MemoryUse(int(percent * 10 * MIB), 1000 * MIB, process_mib * MIB)


def looks(shedding: Shedding, *values: tuple[float, MemoryUse], limits: EdgeLimits = LIMITS) -> list[bool]:
    """Give after each look whether clients are turned away."""
    found = []
    for lag, use in values:
        shedding.look(lag, use, limits)
        found.append(bool(shedding.because))
    return found


def test_it_begins_at_a_limit_and_ends_well_below_it() -> None:
    lags = [0.9, 1.0, 0.9, 0.5, 0.49, 0.9]
    assert looks(Shedding(), *((lag, memory()) for lag in lags)) == [False, True, True, True, False, False]
    percents = [89, 90, 89, 85, 84.9, 89]
    assert looks(Shedding(), *((0, memory(each)) for each in percents)) == [False, True, True, True, False, False]
    processes = [99, 100, 96, 94]
    assert looks(Shedding(), *((0, memory(0, each)) for each in processes)) == [False, True, True, False]


def test_it_says_why() -> None:
    shedding = Shedding()
    assert shedding.look(1.25, memory(95, 120), LIMITS)
    assert shedding.because == (
        "the event loop lags by 1.2 s, 95 % of the memory is in use (1000 MiB), the worker uses 120 MiB"
    )
    assert not shedding.look(1.25, memory(), LIMITS), "it goes on for another reason"
    assert shedding.look(0, memory(), LIMITS)
    assert shedding.because == ""


def test_a_limit_of_nothing_is_never_reached() -> None:
    off = EdgeLimits(shed_lag_seconds=0, shed_memory_percent=0)
    assert looks(Shedding(), (60, memory(100, 10_000)), limits=off) == [False]
    assert looks(Shedding(), (0, MemoryUse(5 * MIB, 0, 0))) == [False], "nothing bounds the memory"


def test_one_slow_turn_of_the_loop_is_no_overload_but_a_long_one_counts_as_long_as_it_was() -> None:
    lag = Lag()
    for _ in range(SAMPLES):
        lag.add(0.01)
    assert lag.p95 == pytest.approx(0.01)
    lag.add(0.09)
    assert lag.p95 == pytest.approx(0.01)
    lag.add(3.0)
    assert lag.p95 > 2.5
    for _ in range(SAMPLES):
        lag.add(0.0)
    assert lag.p95 == 0.0


def test_nothing_seen_is_no_lag() -> None:
    assert Lag().p95 == 0.0


@pytest.fixture
def system(tmp_path: Path) -> tuple[Path, Path]:
    """Folders in the place of /sys/fs/cgroup and /proc/self."""
    cgroups, process = tmp_path / "cgroup", tmp_path / "self"
    process.mkdir()
    cgroups.mkdir()
    (process / "statm").write_text("9999 25 3 1 0 7 0\n")
    return cgroups, process


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_smallest_bound_of_the_groups_that_we_are_in_counts_without_the_page_cache(
    system: tuple[Path, Path],
) -> None:
    cgroups, process = system
    (process / "cgroup").write_text("0::/pod/edge\n")
    group(cgroups / "pod", memory__max="1000\n", memory__current="700\n")
    (cgroups / "pod/memory.stat").write_text("anon 100\ninactive_file 50\nactive_file 100\nslab_reclaimable 50\n")
    group(cgroups / "pod/edge", memory__max="max\n", memory__current="400\n")
    assert Memory(*system).use() == MemoryUse(used=500, bound=1000, process=25 * PAGE)


def test_version_1_of_control_groups(system: tuple[Path, Path]) -> None:
    cgroups, process = system
    (process / "cgroup").write_text("5:devices:/x\n4:cpu,memory:/x\n0::/\n")
    group(cgroups / "memory", memory__limit_in_bytes=f"{(1 << 63) - 4096}\n", memory__usage_in_bytes="900\n")
    group(cgroups / "memory/x", memory__limit_in_bytes="1000\n", memory__usage_in_bytes="900\n")
    (cgroups / "memory/x/memory.stat").write_text("total_inactive_file 100\ntotal_active_file 100\ncache 5\n")
    assert Memory(*system).use() == MemoryUse(used=700, bound=1000, process=25 * PAGE)


def test_what_the_system_does_not_tell_bounds_nothing(tmp_path: Path, system: tuple[Path, Path]) -> None:
    assert Memory(tmp_path / "none", tmp_path / "none").use() == MemoryUse()
    cgroups, process = system
    (process / "cgroup").write_text("0::/\n")
    assert Memory(cgroups, process).use() == MemoryUse(process=25 * PAGE)
