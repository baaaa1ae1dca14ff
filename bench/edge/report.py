"""The result as text: medians and spread, beside the goals; and as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.edge.costs import Cost, Load
from bench.edge.crowds import IDLE_GOAL_MEBIBYTES, LATENCY_GOAL, Idle, Latency, Served, median_latency
from bench.edge.servers import EDGE


@dataclass
class Result:
    """All that was measured. `left_out`: servers with the reason why they are."""

    costs: dict[Load, dict[str, list[Cost]]] = field(default_factory=dict)
    idle: list[Idle] = field(default_factory=list)
    served: Served | None = None
    latencies: list[Latency] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Give everything in plain values."""
        return {
            "cpu_microseconds_per_message": [
                {**asdict(load), "servers": {name: [one.microseconds for one in done] for name, done in costs.items()}}
                for load, costs in self.costs.items()
            ],
            "idle_sessions": [asdict(one) for one in self.idle],
            "open_sessions": asdict(self.served) if self.served else None,
            "new_session_p99": [asdict(one) for one in self.latencies],
            "left_out": self.left_out,
        }


def print_costs(console: Console, costs: Mapping[Load, Mapping[str, Sequence[Cost]]]) -> None:
    """Print the CPU a message of each server, the lowest and highest round beside the median."""
    names = list(dict.fromkeys(name for done in costs.values() for name in done))
    table = Table(title="CPU µs a message (median; lowest–highest round)", title_justify="left")
    table.add_column("load", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    table.add_column(f"goal of {EDGE}", justify="right")
    for load, done in costs.items():
        goal = "" if load.goal_microseconds is None else f"{load.goal_microseconds:.0f}"
        table.add_row(str(load), *(_spread(done.get(name, ())) for name in names), goal)
    console.print(table)


def print_crowds(console: Console, result: Result) -> None:
    """Print what many sessions at a time cost."""
    if result.idle:
        table = Table(title="Memory of idle sessions, MiB more than before", title_justify="left")
        table.add_column("sessions")
        for name in dict.fromkeys(one.server for one in result.idle):
            table.add_column(name, justify="right")
        for tls in (False, True):
            row = [one for one in result.idle if one.tls is tls]
            if row:
                way = "with STARTTLS" if tls else "plain"
                table.add_row(f"{row[0].sessions} {way}", *(f"{one.mebibytes:.1f}" for one in row))
        console.print(table)
        console.print(f"Goal of {EDGE}: less than {IDLE_GOAL_MEBIBYTES:.0f} MiB for 1000 plain ones.")
    if result.served is not None:
        served = result.served
        console.print(
            f"{served.sessions} sessions of {EDGE} open at a time; then {served.messages} of them sent a message each, "
            f"in {served.seconds:.1f} s, at {served.cpu_microseconds:.0f} µs CPU; {served.mebibytes:.0f} MiB more than "
            "before.",
            soft_wrap=True,
        )
    if result.latencies:
        one = median_latency(result.latencies)
        ratios = ", ".join(f"{latency.ratio:.2f}" for latency in result.latencies)
        console.print(
            f"p99 of a new session (connect to 221): {one.unloaded_ms:.1f} ms unloaded, {one.loaded_ms:.1f} ms under "
            f"slow clients; ratio {one.ratio:.2f} (rounds: {ratios}; goal: at most {LATENCY_GOAL:.0f}).",
            soft_wrap=True,
        )


def _spread(costs: Sequence[Cost]) -> str:
    if not costs:
        return "–"
    each = [cost.microseconds for cost in costs]
    return f"{median(each):.0f} ({min(each):.0f}–{max(each):.0f})"
