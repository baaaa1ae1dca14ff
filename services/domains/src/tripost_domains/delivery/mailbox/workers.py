"""Threads for blocking work on disks.

A thread pool hands over each job and each answer by itself, and every hand-over is a fight for the interpreter's lock:
70 µs of CPU a job, as much as all the rest of a delivery. Here the jobs asked for in one turn of the event loop are
dealt out to the threads in shares, and the answers of a share come back together.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

Answer = TypeVar("Answer")
Job: TypeAlias = tuple[Callable[[], Any], asyncio.Future[Any]]
Done: TypeAlias = tuple[asyncio.Future[Any], Any, Exception | None]


class DiskWorkers:
    """A fixed number of threads."""

    def __init__(self, threads: int) -> None:
        self.count = threads
        self._shares: SimpleQueue[Sequence[Job] | None] = SimpleQueue()
        self._asked: list[Job] = []
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
        if not self._asked:
            self._loop.call_soon(self._deal)
        self._asked.append((job, future))
        return await future

    async def stop(self) -> None:
        """End the threads once they have done what they were asked."""
        if self._loop is None:
            return
        self._deal()
        for _ in self._threads:
            self._shares.put(None)
        await asyncio.to_thread(self._join)

    def _deal(self) -> None:
        """Give each thread a share of what was asked for in this turn of the event loop."""
        asked, self._asked = self._asked, []
        size = -(-len(asked) // len(self._threads))
        for start in range(0, len(asked), size or 1):
            self._shares.put(asked[start : start + size])

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (share := self._shares.get()) is not None:
            done: list[Done] = []
            for job, future in share:
                try:
                    done.append((future, job(), None))
                except Exception as error:  # the asker knows what it means
                    done.append((future, None, error))
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_answer, done)


def _answer(done: Sequence[Done]) -> None:
    for future, answer, error in done:
        if future.done():
            continue  # its asker was cancelled
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
