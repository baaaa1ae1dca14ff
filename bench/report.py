"""The result as text: messages a second, CPU microseconds a message and peak memory, by process, with the ratio."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.rounds import Round

MEBIBYTE: Final = 1 << 20


def print_rates(console: Console, rounds: Mapping[str, Sequence[Round]]) -> None:
    """Print each round's rate, and the medians with their ratio to the last system (the measure)."""
    table = Table(title="Messages per second", title_justify="left")
    table.add_column("system")
    count = max(len(done) for done in rounds.values())
    for number in range(1, count + 1):
        table.add_column(f"round {number}", justify="right")
    table.add_column("median", justify="right")
    table.add_column("ratio", justify="right")
    measure = list(rounds)[-1]
    for name, done in rounds.items():
        rates = [f"{one.per_second:.0f}" for one in done]
        table.add_row(name, *rates, f"{_rate(done):.0f}", f"{_rate(done) / _rate(rounds[measure]):.2f}")
    console.print(table)


def print_examinations(console: Console, rounds: Mapping[str, Sequence[Round]]) -> None:
    """Print how often each check examined for a message, by the system's own count over all rounds."""
    for name, done in rounds.items():
        messages = sum(one.messages for one in done)
        counts = {check: sum(one.examinations[check] for one in done) for check in done[0].examinations}
        told = ", ".join(f"{check} {count} ({count / messages:.2f} a message)" for check, count in counts.items())
        if told:
            console.print(f"Examined by {name}'s own count, for {messages} messages: {told}.", soft_wrap=True)


def print_costs(console: Console, rounds: Mapping[str, Sequence[Round]]) -> None:
    """Print what each group of processes cost."""
    table = Table(title="Cost by process (medians of the rounds)", title_justify="left")
    table.add_column("system")
    table.add_column("process")
    table.add_column("CPU µs a message", justify="right")
    table.add_column("peak memory MiB", justify="right")
    measure = list(rounds)[-1]
    for name, done in rounds.items():
        groups = list(done[0].usage.cpu_seconds)
        for group in groups:
            table.add_row(name, group, f"{_cpu_microseconds(done, group):.0f}", f"{_peak(done, group):.0f}")
        if len(groups) > 1:
            table.add_row(name, "all", f"{_total_cpu(done):.0f}", f"{_total_peak(done):.0f}", end_section=True)
    if len(rounds) > 1:
        ours = next(iter(rounds.values()))
        theirs = rounds[measure]
        table.add_row(
            "ratio",
            "all",
            f"{_total_cpu(ours) / _total_cpu(theirs):.2f}",
            f"{_total_peak(ours) / _total_peak(theirs):.2f}",
        )
    console.print(table)


def _rate(rounds: Sequence[Round]) -> float:
    return median(one.per_second for one in rounds)


def _cpu_microseconds(rounds: Sequence[Round], group: str) -> float:
    return median(one.usage.cpu_seconds[group] / one.messages * 1e6 for one in rounds)


def _peak(rounds: Sequence[Round], group: str) -> float:
    return median(one.usage.peak_octets[group] / MEBIBYTE for one in rounds)


def _total_cpu(rounds: Sequence[Round]) -> float:
    return sum(_cpu_microseconds(rounds, group) for group in rounds[0].usage.cpu_seconds)


def _total_peak(rounds: Sequence[Round]) -> float:
    return sum(_peak(rounds, group) for group in rounds[0].usage.peak_octets)
