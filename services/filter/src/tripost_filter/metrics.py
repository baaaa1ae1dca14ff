"""What the filter counts (Prometheus). Labels are check names and known results, so their number is bounded.

Counts are plain numbers until they are asked for: Prometheus' own objects cost several microseconds a message.
"""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tripost_shared.contracts.filter import Action, Finding

BOUNDS_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.0, 10.0)
MAX_RESULTS: Final = 24  # per check; any further word is counted as "other"


class CheckMetrics:
    """What is counted of one check, in all pipelines of the process."""

    def __init__(self) -> None:
        self.results: Tally[str] = Tally()
        self.degraded = 0
        self.total_seconds = 0.0
        self._within = [0] * (len(BOUNDS_SECONDS) + 1)  # up to each bound and above the one before, and above all

    def count(self, finding: Finding | None, seconds: float) -> None:
        """Count an examination; None is a check that had no business with the mail."""
        if finding is None:
            return
        self.total_seconds += seconds
        self._within[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        result = finding.result
        if result not in self.results and len(self.results) >= MAX_RESULTS:
            result = "other"
        self.results[result] += 1
        if finding.degraded:
            self.degraded += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Give the histogram as Prometheus has it: bound → how many took no longer."""
        bounds = [*map(floatToGoString, BOUNDS_SECONDS), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._within)), strict=True))


_checks: Final[dict[str, CheckMetrics]] = {}
_verdicts: Final[Tally[tuple[str, Action]]] = Tally()


def metrics_of(check: str) -> CheckMetrics:
    """Give the counts of a check; the same ones each time."""
    return _checks.setdefault(check, CheckMetrics())


def count_verdict(question: str, action: Action) -> None:
    """Count a verdict on a connection, a recipient or a message."""
    _verdicts[question, action] += 1


class _Exposition(Collector):
    """Gives all counts when the metrics are asked for."""

    def collect(self) -> Iterable[Metric]:
        seconds = HistogramMetricFamily("tripost_filter_check_seconds", "Time a check took.", labels=["check"])
        findings = CounterMetricFamily(
            "tripost_filter_findings", "Findings, by check and result.", labels=["check", "result"]
        )
        degraded = CounterMetricFamily(
            "tripost_filter_degraded", "Findings of checks that could not do their work.", labels=["check"]
        )
        for check, metrics in _checks.items():
            seconds.add_metric([check], metrics.buckets(), metrics.total_seconds)
            degraded.add_metric([check], metrics.degraded)
            for result, count in metrics.results.items():
                findings.add_metric([check, result], count)
        verdicts = CounterMetricFamily(
            "tripost_filter_verdicts", "Verdicts, by question and action.", labels=["question", "action"]
        )
        for (question, action), count in _verdicts.items():
            verdicts.add_metric([question, action.value], count)
        return seconds, findings, degraded, verdicts


REGISTRY.register(_Exposition())


class Degradation:
    """How often each check could not do its work since the start, for the status page."""

    def __init__(self) -> None:
        self._examined: Tally[str] = Tally()
        self._degraded: Tally[str] = Tally()

    def count(self, finding: Finding) -> None:
        """Count a finding."""
        self._examined[finding.check] += 1
        if finding.degraded:
            self._degraded[finding.check] += 1

    def details(self) -> dict[str, str]:
        """Give `degraded.<check>` → "3 of 120" for the checks that were ever degraded."""
        return {
            f"degraded.{check}": f"{count} of {self._examined[check]}"
            for check, count in sorted(self._degraded.items())
        }
