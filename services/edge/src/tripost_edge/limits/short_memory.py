"""A bounded memory that forgets by time and, when full, what was used longest ago."""

from collections import OrderedDict
from typing import Generic, TypeVar

from tripost_shared.clock import Clock

Key = TypeVar("Key")
Value = TypeVar("Value")


class ShortMemory(Generic[Key, Value]):
    """Answers kept for `seconds` (0: none are kept), at most `capacity` of them."""

    def __init__(self, clock: Clock, seconds: float, capacity: int) -> None:
        self._clock = clock
        self.seconds = seconds
        self._capacity = capacity
        self._kept: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self.generation = 0  # grows with each `forget`: an answer that was asked for before is stale

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Value | None:
        """Give what is remembered of the key, None when nothing is."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        value, until = entry
        if self._clock.monotonic() >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: Key, value: Value, generation: int | None = None, at_most: float | None = None) -> None:
        """Remember, for `at_most` seconds if given; not when the answer belongs to a generation that is over."""
        seconds = self.seconds if at_most is None else min(self.seconds, at_most)
        if seconds <= 0 or (generation is not None and generation != self.generation):
            return
        self._kept[key] = (value, self._clock.monotonic() + seconds)
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def forget(self) -> None:
        """Drop everything: what the answers were drawn from has changed."""
        self._kept.clear()
        self.generation += 1
