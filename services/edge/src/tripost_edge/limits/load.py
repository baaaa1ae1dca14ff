"""When a worker has too much to do to take more clients, and when it has no more; pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from tripost_shared.edge_limits import EdgeLimits

INTERVAL: Final = 0.1  # seconds between two looks at the event loop's lag
SAMPLES: Final = 20  # two seconds of them
LAG_EASES_AT: Final = 0.5  # of its limit
MEMORY_EASES_BELOW: Final = 5  # percent points
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Octets in use of what there may be; `bound` 0 where nothing bounds it. `process`: this worker's own."""

    used: int = 0
    bound: int = 0
    process: int = 0


class Lag:
    """How long events waited for the event loop in the last two seconds of its life."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)

    def add(self, late_seconds: float) -> None:
        """Note how late a timer was: what came while the loop was held up waited from that long down to not at all."""
        for number in range(min(int(late_seconds / INTERVAL), SAMPLES), -1, -1):
            self._samples.append(late_seconds - number * INTERVAL)

    @property
    def p95(self) -> float:
        """Of 20 events, 19 waited no longer. Seconds."""
        ordered = sorted(self._samples)
        return ordered[-(-len(ordered) * 95 // 100) - 1] if ordered else 0.0


class Shedding:
    """Whether new clients are turned away; `because` says why, "" while they are not.

    It begins at a limit and ends well below it, so that it does not come and go with each client.
    """

    def __init__(self) -> None:
        self.because = ""
        self._by_lag = False
        self._by_memory = False
        self._by_process = False

    def look(self, lag_seconds: float, memory: MemoryUse, limits: EdgeLimits) -> bool:
        """Decide anew; tells whether that has changed."""
        before = bool(self.because)
        self._by_lag = _is_over(self._by_lag, lag_seconds, limits.shed_lag_seconds, LAG_EASES_AT)
        percent = 100 * memory.used / memory.bound if memory.bound else 0.0
        most = limits.shed_memory_percent
        self._by_memory = _is_over(self._by_memory, percent, most, 1 - MEMORY_EASES_BELOW / max(most, 1))
        self._by_process = _is_over(self._by_process, memory.process, limits.worker_memory_octets, 0.95)
        reasons = []
        if self._by_lag:
            reasons.append(f"the event loop lags by {lag_seconds:.1f} s")
        if self._by_memory:
            reasons.append(f"{percent:.0f} % of the memory is in use ({memory.bound // MIB} MiB)")
        if self._by_process:
            reasons.append(f"the worker uses {memory.process // MIB} MiB")
        self.because = ", ".join(reasons)
        return before is not bool(reasons)


def _is_over(is_over: bool, value: float, most: float, eases_at: float) -> bool:
    """Whether a value is over its limit (0: there is none); once it is, until it is below the share where it eases."""
    return most > 0 and value >= (most * eases_at if is_over else most)
