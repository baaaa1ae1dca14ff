"""Doing what must be done, once or again and again, however long what it needs is away."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from tripost_domains.delivery.waiting_log import waiting_log

log = structlog.get_logger()

FIRST_WAIT_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 5.0

Answer = TypeVar("Answer")


async def until_done(
    operation: Callable[[], Awaitable[Answer]], passing: tuple[type[Exception], ...], task: str
) -> Answer:
    """Try until it works; `passing` are the failures that pass. Ends early by being cancelled only.

    The caller keeps in memory what it could not put down, so it bounds how many wait here.
    """
    try:
        return await operation()
    except passing as error:
        because = _told(error)
    told, now = waiting_log(task), asyncio.get_running_loop().time
    wait = FIRST_WAIT_SECONDS
    with told.waiting():
        while True:
            told.failed(now(), because, lasts=wait >= LONGEST_WAIT_SECONDS)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            try:
                answer = await operation()
            except passing as error:
                because = _told(error)
            else:
                told.done(now())
                return answer


async def every(
    interval: timedelta,
    job: Callable[[], Awaitable[None]],
    passing: tuple[type[Exception], ...],
    task: str,
    first_after: timedelta | None = None,
) -> None:
    """Do a job again and again, an interval after its last end, until cancelled; first after `first_after`, if given.

    No failure ends it; `passing` are those that pass and need no trace in the log.
    """
    wait = interval if first_after is None else first_after
    while True:
        await asyncio.sleep(wait.total_seconds())
        wait = interval
        try:
            await job()
        except passing as error:
            log.warning("housekeeping waits", task=task, because=_told(error))
        except Exception:  # an entrance: the job would never be done again
            log.exception("housekeeping broke", task=task)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
