"""How many refusals of one network's commands are recorded as facts: a stranger must not fill the tracking's disk."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from tripost_edge.limits.short_memory import ShortMemory
from tripost_shared.clock import Clock

SECONDS: Final = 600.0
CAPACITY: Final = 10_000  # networks remembered


class Telling(Enum):
    """What is to be done about a refusal."""

    WHOLE = auto()
    LAST = auto()  # tell it, and that those after it are only counted for a while
    NOT = auto()


@dataclass(slots=True)
class _Told:
    count: int = 0


class ToldRefusals:
    """Counts refusals by network, for SECONDS from its first on. With a `limit` of 0 all are told; it may change."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self.limit = limit
        self._told: ShortMemory[str, _Told] = ShortMemory(clock, SECONDS, CAPACITY)

    def next(self, network: str) -> Telling:
        """Count a refusal, and say how it is told."""
        if not self.limit:
            return Telling.WHOLE
        told = self._told.get(network)
        if told is None:
            told = _Told()
            self._told.put(network, told)
        told.count += 1
        if told.count > self.limit:
            return Telling.NOT
        return Telling.LAST if told.count == self.limit else Telling.WHOLE
