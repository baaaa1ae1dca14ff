"""Where messages wait for nothing but their rows in the deferred queue."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class WaitingRoom:
    """Has places for so many messages, which do not count as at hand: others are taken from SPOOL in their stead.

    So while content store or database are slow or away, mail for a next hop that is down stops no mail for mailboxes
    until these places are taken as well.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting = 0
        self._when_entered: Callable[[], None] = lambda: None

    @property
    def occupied(self) -> int:
        """How many places are taken; who finds none waits where it was."""
        return min(self._waiting, self._places)

    def when_entered(self, call: Callable[[], None]) -> None:
        """Have this called each time that a message begins to wait."""
        self._when_entered = call

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a message as one that waits."""
        self._waiting += 1
        self._when_entered()
        try:
            yield
        finally:
            self._waiting -= 1
