"""A sign of life of each worker's event loop: given by the workers, read by the first process, which ends who hangs.

Nobody else could: who asks for the health of a worker at its port sees neither which process that is, nor may he end
the others with it.
"""

import asyncio
import mmap
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from tripost_shared.silence import Patience, Silence

BEAT_SECONDS: Final = 1.0
# 20 s: less than whoever watches the first worker's port waits before he ends them all (30 s in the embedded cluster).
PATIENCE: Final = Patience(every=timedelta(seconds=5), looks=4)
_HIGHEST: Final = 255  # one octet per worker; 0: it has not begun


class WorkerBeats:
    """A count for each of so many workers, in memory that stays shared over forks."""

    def __init__(self, workers: int) -> None:
        self.patience = PATIENCE
        self._counts = mmap.mmap(-1, workers)
        self._seen = [0] * workers
        self._silences: list[Silence | None] = [None] * workers

    async def beat(self, worker: int) -> None:
        """Beat for this worker until cancelled."""
        while True:
            self._counts[worker] = self._counts[worker] % _HIGHEST + 1
            await asyncio.sleep(BEAT_SECONDS)

    def forget(self, worker: int) -> None:
        """Expect nothing of a worker until it has begun again."""
        self._counts[worker] = self._seen[worker] = 0
        self._silences[worker] = None

    def look(self, now: float) -> Sequence[int]:
        """Look after all; gives those that have been silent for too long. `now`: seconds since boot."""
        return [worker for worker in range(len(self._seen)) if self._is_silent(worker, now)]

    def _is_silent(self, worker: int, now: float) -> bool:
        count = self._counts[worker]
        if not count:
            return False
        heard, self._seen[worker] = count != self._seen[worker], count
        silence = self._silences[worker]
        if silence is None:
            silence = self._silences[worker] = Silence(self.patience, now)
        return silence.is_too_long_after(heard=heard, now=now)
