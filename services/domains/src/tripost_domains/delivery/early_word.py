"""What became of some recipients of a message, told while others still take their time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from tripost_domains.delivery.outcome import Attempted

PATIENCE_SECONDS: Final = 1.0  # most messages are done with by then, and told of once


class EarlyWord:
    """Tells `note` of the parts of one attempt that have ended, if the others take longer than PATIENCE_SECONDS.

    After that, of each as it ends, but for the last. Call `close` when all have.
    """

    def __init__(self, note: Callable[[Sequence[Attempted]], None], parts: int) -> None:
        self._note = note
        self._parts_left = parts
        self._ended: list[Attempted] = []
        self._is_telling = False
        self._timer: asyncio.TimerHandle | None = None
        if parts > 1:  # else there is nobody else to wait for
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._begin)

    async def of(self, work: Coroutine[Any, Any, None], part: list[Attempted]) -> None:
        """Do a part of the work, which puts what becomes of its recipients into `part`."""
        await work
        self._parts_left -= 1
        if not self._is_telling:
            self._ended += part
        elif self._parts_left:
            self._note(part)

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        self._is_telling = True
        if self._ended:
            self._note(self._ended)
