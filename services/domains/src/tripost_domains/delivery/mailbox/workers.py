"""Threads for blocking work on disks.

A thread pool's future wakes the event loop for each job; here all jobs done since the last wake-up share one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class DiskWorkers:
    """A fixed number of threads; jobs are done in the order asked for, as many side by side as there are threads."""

    def __init__(self, threads: int) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = [threading.Thread(target=self._work, name=f"disk-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        """Start the threads; call it once, in the event loop that will ask."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    async def run(self, job: Callable[[], Answer]) -> Answer:
        """Do a job in one of the threads; gives or raises what the job does. Not stopped by cancelling."""
        if self._loop is None:
            raise RuntimeError("the threads have not been started")
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._jobs.put((job, future))
        return await future

    async def stop(self) -> None:
        """End the threads once they have done what they were asked."""
        if self._loop is None:
            return
        for _ in self._threads:
            self._jobs.put(None)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (asked := self._jobs.get()) is not None:
            job, future = asked
            try:
                self._done.append((future, job(), None))
            except Exception as error:
                self._done.append((future, None, error))
            if not self._is_woken:
                self._is_woken = True
                self._wake()

    def _wake(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._is_woken = False  # before the queue is emptied: what is appended from here on wakes again
        while self._done:
            future, answer, error = self._done.popleft()
            if future.done():
                continue  # its asker was cancelled
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)
