"""Reports on signatures as a finding's evidence, and back.

The n-th signature (from 1) has the keys `n.result`, `n.because`, `n.d`, `n.s`, `n.a`, `n.b`; empty ones are left out.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

from tripost_filter.dkim.verification import Report, Result

MAX_TEXT: Final = 255
_LABELS: Final = ("result", "because", "d", "s", "a", "b")  # in the order of Report
_RESULTS: Final[Mapping[str | None, Result]] = {result.value: result for result in Result}


def to_evidence(reports: Sequence[Report]) -> dict[str, str]:
    """Write the reports."""
    return {
        f"{number}.{label}": str(text)[:MAX_TEXT]
        for number, report in enumerate(reports, start=1)
        for label, text in zip(_LABELS, report, strict=True)
        if text
    }


def from_evidence(evidence: Mapping[str, str]) -> list[Report]:
    """Read the reports; stops at the first number that is missing or unknown."""
    reports: list[Report] = []
    for number in count(1):
        result = evidence.get(f"{number}.result")
        if result not in _RESULTS:
            break
        reports.append(Report(_RESULTS[result], *(evidence.get(f"{number}.{label}", "") for label in _LABELS[1:])))
    return reports
