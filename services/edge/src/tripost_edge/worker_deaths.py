"""How often each worker has died since it was last ready: written by the first process, read by the other workers.

The first process has no link to NATS, so the workers that are left tell `tripost status`.
"""

import mmap
from collections.abc import Iterator
from typing import Final

MOST: Final = 255  # one octet per worker


class WorkerDeaths:
    """A count for each of so many workers, in memory that stays shared over forks."""

    def __init__(self, workers: int) -> None:
        self._counts = mmap.mmap(-1, workers)

    def note(self, worker: int) -> None:
        """Count a death."""
        self._counts[worker] = min(self._counts[worker] + 1, MOST)

    def forget(self, worker: int) -> None:
        """Count anew: the worker is ready."""
        self._counts[worker] = 0

    def troubles(self) -> Iterator[str]:
        """Say which workers are not ready again."""
        for worker, count in enumerate(self._counts[:]):
            if count:
                times = "once" if count == 1 else f"{count} times"
                yield f"worker {worker} is away: it has died {times} since it was last ready"
