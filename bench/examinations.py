"""How often each check examined, by the filter's own count: what its /metrics said after a round, less what before."""

from collections.abc import Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

CHECKS: Final = ("spf", "dkim", "dnsbl", "greylist")  # each has to examine once for every message
FINDINGS: Final = "tripost_filter_findings"


def counted(metrics: str) -> dict[str, int]:
    """Add up the findings of each of CHECKS, whatever their results, in Prometheus' text format."""
    counts = dict.fromkeys(CHECKS, 0)
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples if family.name == FINDINGS else ():
            if sample.name == f"{FINDINGS}_total" and sample.labels["check"] in counts:
                counts[sample.labels["check"]] += int(sample.value)
    return counts


def since(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Give what was added."""
    return {check: after[check] - before[check] for check in after}


def faults(examinations: Mapping[str, int], messages: int) -> tuple[str, ...]:
    """Say which checks did not examine once for every message."""
    return tuple(
        f"the check {check} examined {count} times for {messages} messages"
        for check, count in examinations.items()
        if count != messages
    )
