"""What the filter counts (Prometheus). Labels are check names and known results, so their number is bounded."""

from collections import Counter as Tally
from functools import cache
from typing import Final

from prometheus_client import Counter, Histogram

from tripost_shared.contracts.filter import Action, Finding

SECONDS: Final = Histogram(
    "tripost_filter_check_seconds",
    "Time a check took.",
    ("check",),
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1, 2, 10),
)
FINDINGS: Final = Counter("tripost_filter_findings_total", "Findings, by check and result.", ("check", "result"))
DEGRADED: Final = Counter(
    "tripost_filter_degraded_total", "Findings of checks that could not do their work.", ("check",)
)
VERDICTS: Final = Counter("tripost_filter_verdicts_total", "Verdicts, by question and action.", ("question", "action"))

MAX_RESULTS: Final = 24  # per check; any further word is counted as "other"


class CheckMetrics:
    """The counters of one check, its labels resolved once."""

    def __init__(self, check: str) -> None:
        self._check = check
        self._seconds = SECONDS.labels(check)
        self._degraded = DEGRADED.labels(check)
        self._results: dict[str, Counter] = {}

    def count(self, finding: Finding | None, seconds: float) -> None:
        """Count an examination; None is a check that had no business with the mail."""
        if finding is None:
            return
        self._seconds.observe(seconds)
        self._counter(finding.result).inc()
        if finding.degraded:
            self._degraded.inc()

    def _counter(self, result: str) -> Counter:
        counter = self._results.get(result)
        if counter is None:
            known = result if len(self._results) < MAX_RESULTS else "other"
            counter = FINDINGS.labels(self._check, known)
            if known == result:
                self._results[result] = counter
        return counter


@cache
def _verdicts(question: str, action: Action) -> Counter:
    return VERDICTS.labels(question, action.value)


def count_verdict(question: str, action: Action) -> None:
    """Count a verdict on a connection, a recipient or a message."""
    _verdicts(question, action).inc()


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
