"""Work in the background that has to be done in the end: no failure ends it or goes unseen, and what lasts is told."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import structlog

log = structlog.get_logger()

Result = TypeVar("Result")

FIRST_PAUSE: Final = timedelta(seconds=0.2)
LONGEST_PAUSE: Final = timedelta(seconds=10)
LASTING: Final = 3  # failures in a row from which on an operator is told: fewer come with any restart of a server


class Failures:
    """Failures in a row of one kind of work; `expected` are those that need no trace in the log."""

    def __init__(self, what: str, expected: tuple[type[Exception], ...]) -> None:
        self._what = what
        self._expected = expected
        self._count = 0
        self._because = ""

    def add(self, error: Exception) -> None:
        """Log it, and count it."""
        self._count += 1
        if isinstance(error, self._expected):
            self._because = str(error)
            log.warning(f"{self._what}, trying again", because=self._because)
        else:
            self._because = f"{type(error).__name__}, which the log of admin-api shows in full"
            log.error(f"{self._what}, trying again", exc_info=error)

    def end(self) -> None:
        """Forget them: it went well."""
        self._count = 0

    @property
    def trouble(self) -> str:
        """What an operator is to know; empty while it works, or may be about to."""
        return f"{self._what}: {self._because}" if self._count >= LASTING else ""


async def persevere(work: Callable[[], Awaitable[Result]], failures: Failures) -> Result:
    """Give what the work gives, once it goes well: tried for ever, with a back-off."""
    pause = FIRST_PAUSE
    while True:
        try:
            result = await work()
        except Exception as error:  # whatever it is: it is told, and nobody else would do the work
            failures.add(error)
        else:
            failures.end()
            return result
        await asyncio.sleep(pause.total_seconds())
        pause = min(pause * 2, LONGEST_PAUSE)
