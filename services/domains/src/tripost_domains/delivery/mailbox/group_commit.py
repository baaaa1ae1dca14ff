"""Gathers deliveries that come close together, so that they wait for the disk together.

An fsync costs 70 to 200 µs of CPU, most of it in the kernel, and a delivery alone needs two. A message that waits some
milliseconds longer for its place in the mailbox has been accepted before: no client waits for it.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import PurePath
from typing import Final

from tripost_domains.delivery.mailbox.maildir import Delivery, MaildirStore
from tripost_domains.delivery.mailbox.workers import DiskWorkers

INTERVAL_SECONDS: Final = 0.01
LAST_WRITE_WITHIN: Final = timedelta(seconds=1)  # after a cancellation: a stop has 5 s for all, a batch takes 0.1 s
MAX_BATCH: Final = 16  # more brings nothing, and on a slow disk other threads do their share


class GroupCommit:
    """Writes messages to Maildirs, batch by batch. One that comes alone is written at once."""

    def __init__(self, maildirs: MaildirStore, workers: DiskWorkers) -> None:
        self._maildirs = maildirs
        self._workers = workers
        self._waiting: list[tuple[Delivery, asyncio.Future[None]]] = []
        self._last_at = -INTERVAL_SECONDS
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    async def deliver(self, mailbox: PurePath, name: str, octets: Sequence[bytes]) -> None:
        """Write a message, durably; raises OSError.

        Cancelled before it has begun, it is not written. What has begun is waited for, so that whoever gets the message
        next finds the file; not for ever, since a disk may hang.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((Delivery(mailbox, name, octets), future))
        if len(self._waiting) >= MAX_BATCH:
            self._begin()
        elif self._timer is None:
            self._timer = loop.call_at(self._last_at + INTERVAL_SECONDS, self._begin)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            if any(waiting is future for _, waiting in self._waiting):
                future.cancel()
            elif not future.done():
                await asyncio.wait({future}, timeout=LAST_WRITE_WITHIN.total_seconds())
            raise

    def _begin(self) -> None:
        """Give what waits to a thread."""
        loop = asyncio.get_running_loop()
        self._last_at = loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = [(delivery, future) for delivery, future in self._waiting if not future.done()]
        self._waiting = []
        if batch:
            task = loop.create_task(self._write(batch))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write(self, batch: Sequence[tuple[Delivery, asyncio.Future[None]]]) -> None:
        try:
            outcomes: Sequence[Exception | None] = await self._workers.run(
                partial(self._maildirs.deliver_all, [delivery for delivery, _ in batch])
            )
        except Exception as error:  # each asker says what it means
            outcomes = [error] * len(batch)
        for (_, future), failure in zip(batch, outcomes, strict=True):
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)
                future.exception()  # seen, also when its asker was cancelled
