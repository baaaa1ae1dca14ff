"""What is done again and again goes on whatever breaks."""

import asyncio
from datetime import timedelta

from structlog.testing import capture_logs

from tripost_domains.delivery.patience import every

SOON = timedelta(milliseconds=1)
LATER = timedelta(hours=1)


class StoreAway(Exception):
    """A failure that passes."""


class Job:
    """Fails as it is told, and tells when it has had all its turns."""

    def __init__(self, *failures: Exception | None) -> None:
        self._failures = list(failures)
        self.is_over = asyncio.Event()

    async def __call__(self) -> None:
        if not self._failures:
            self.is_over.set()
            return
        failure = self._failures.pop(0)
        if failure is not None:
            raise failure


async def run(job: Job, interval: timedelta, first_after: timedelta | None = None) -> None:
    task = asyncio.create_task(every(interval, job, (StoreAway,), "sweep", first_after))
    async with asyncio.timeout(5):
        await job.is_over.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_job_goes_on_after_any_failure_and_only_a_mistake_leaves_a_trace() -> None:
    job = Job(StoreAway("no answer"), None, ValueError("a mistake"))
    with capture_logs() as logs:
        await run(job, SOON)
    assert [(line["event"], line["log_level"], line["task"]) for line in logs] == [
        ("housekeeping waits", "warning", "sweep"),
        ("housekeeping broke", "error", "sweep"),
    ]
    assert logs[0]["because"] == "StoreAway: no answer"
    assert logs[1]["exc_info"]


async def test_the_first_turn_may_come_sooner_than_the_others() -> None:
    await run(Job(), LATER, first_after=SOON)
