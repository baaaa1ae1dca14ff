"""Workers of all edges tell each other how many sessions they have of which client network.

Changes go out together after some milliseconds; all is told every few seconds, and to each worker that is new. A worker
that has been silent for a while counts no more.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from tripost_edge.limits.crowd import Crowd, Crowded, Standing
from tripost_edge.ports import Clock, Telling
from tripost_shared.contracts.edges import SESSIONS_SUBJECT, SessionsTold

log = structlog.get_logger()

GATHER_SECONDS: Final = 0.01
TELL_ALL_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 16.0  # three whole tellings and some
COME_BACK_SECONDS: Final = 0.25  # for what we tell to come back to us; longer, and what is known must do


class SessionCounts:
    """Tells and hears for one worker."""

    def __init__(self, crowd: Crowd, telling: Telling, clock: Clock) -> None:
        self.worker = secrets.token_hex(8)
        self.crowd = crowd
        self._telling = telling
        self._clock = clock
        self._number = 0
        self._came_back = 0  # the number of our telling that we have heard ourselves
        self._is_down = False
        self._heard_at: dict[str, float] = {}
        self._due: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[int, Sequence[Standing], asyncio.Future[Crowded | None]]] = deque()
        self._repeating: asyncio.Task[None] | None = None
        self._has_ended = False
        telling.hear(SESSIONS_SUBJECT, SessionsTold, self._take)

    def start(self) -> None:
        """Tell that we are here: the others answer with all that they have."""
        self._tell(whole=True)
        self._repeating = asyncio.create_task(self._repeat())

    def stop(self) -> None:
        """Tell that we are gone, and be silent."""
        if self._repeating is not None:
            self._repeating.cancel()
        self._has_ended = True
        self._number += 1
        self._telling.tell(SESSIONS_SUBJECT, SessionsTold(self.worker, self._number, {}, ends=True))

    def changed(self) -> None:
        """Have what the crowd has counted told soon."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell)

    async def crowded(self, standings: Sequence[Standing]) -> Crowded | None:
        """Tell what has changed, and then whether a session is one too many by all that was told before that.

        It is decided at the moment at which our telling comes back: what is heard after it was told after it.
        """
        number = self._tell()
        if number <= self._came_back or self._is_down:
            return self._judged(standings)
        judged: asyncio.Future[Crowded | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, standings, judged))
        try:
            async with asyncio.timeout(COME_BACK_SECONDS):
                return await judged
        except TimeoutError:
            log.info("other workers were not heard in time", worker=self.worker)
            return self._judged(standings)

    def _judged(self, standings: Sequence[Standing]) -> Crowded | None:
        return next((crowded for each in standings if (crowded := self.crowd.was_crowded(each)) is not None), None)

    def _tell(self, *, whole: bool = False) -> int:
        """Tell what there is to tell; gives the number of the telling that it is in."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._has_ended:
            return self._number
        if whole or self.crowd.has_changed:
            self._number += 1
            told = self.crowd.changes(self.worker, self._number, whole=whole)
            self._is_down = not self._telling.tell(SESSIONS_SUBJECT, told)
        return self._number

    def _take(self, told: SessionsTold) -> None:
        if told.worker == self.worker:
            self._release(told.number)
            return
        is_new = told.worker not in self._heard_at
        if told.ends:
            self._forget(told.worker)
            return
        self._heard_at[told.worker] = self._clock.monotonic()
        self.crowd.hear(told)
        if is_new:
            self._tell(whole=True)

    def _release(self, number: int) -> None:
        self._came_back = max(self._came_back, number)
        while self._waiting and self._waiting[0][0] <= number:
            _, standings, judged = self._waiting.popleft()
            if not judged.done():
                judged.set_result(self._judged(standings))

    def _forget(self, worker: str) -> None:
        self._heard_at.pop(worker, None)
        self.crowd.forget(worker)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(TELL_ALL_SECONDS)
            self._tell(whole=True)
            self.forget_silent()

    def forget_silent(self) -> None:
        """Count nothing of workers that have not been heard for a while."""
        now = self._clock.monotonic()
        for worker in [name for name, at in self._heard_at.items() if now - at >= SILENT_SECONDS]:
            log.info("worker is silent: its sessions count no more", worker=worker)
            self._forget(worker)
