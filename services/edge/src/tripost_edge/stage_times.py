"""How long stages take, as a histogram for Prometheus.

Counts are plain numbers until they are asked for: Prometheus' own objects cost a message 5 µs.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

BOUNDS_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class StageTimes:
    """The times of one stage."""

    def __init__(self) -> None:
        self.total_seconds = 0.0
        self._within = [0] * (len(BOUNDS_SECONDS) + 1)  # up to each bound and above the one before, and above all

    def observe(self, seconds: float) -> None:
        """Count one time."""
        self.total_seconds += seconds
        self._within[bisect_left(BOUNDS_SECONDS, seconds)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Give the histogram as Prometheus has it: bound → how many took no longer."""
        bounds = [*map(floatToGoString, BOUNDS_SECONDS), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._within)), strict=True))


class StageSeconds(Collector):
    """The times of all stages, by their names."""

    def __init__(self, stages: Sequence[str]) -> None:
        self.of: Final = MappingProxyType({stage: StageTimes() for stage in stages})

    def collect(self) -> Iterable[Metric]:
        """Give the counts as they are now."""
        seconds = HistogramMetricFamily(
            "tripost_edge_stage_seconds", "Time that a stage took, waiting for other tiers included.", labels=["stage"]
        )
        for stage, times in self.of.items():
            seconds.add_metric([stage], times.buckets(), times.total_seconds)
        return (seconds,)
