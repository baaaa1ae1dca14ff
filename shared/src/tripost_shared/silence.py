"""When a process that gives no sign of life is to be ended, so that it is started again. Pure but for one clock.

Looks are counted, not time: a machine that slept, or a virtual one that was paused, has missed none. A look that comes
late itself tells nothing, since whoever looks stood still as well; then a whole silence must pass from there on. So the
clock that is given must go on while the machine sleeps.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

LATE_AFTER: Final = 3  # times as long as looks are apart by their plan; a look that waits in vain makes it two


@dataclass(frozen=True, slots=True)
class Patience:
    """`every`: how far apart looks are, and how long one may wait for its sign. `looks`: so many in vain are enough."""

    every: timedelta
    looks: int

    @property
    def whole(self) -> timedelta:
        """How long a process may be silent."""
        return self.every * self.looks


class Silence:
    """How many looks in a row were in vain. `now` is in seconds, here and below."""

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self._looks = 0
        self._last_look = now

    def is_too_long_after(self, *, heard: bool, now: float) -> bool:
        """Note a look; tells whether it was one in vain too many."""
        is_late = now - self._last_look > LATE_AFTER * self._patience.every.total_seconds()
        self._last_look = now
        self._looks = 0 if heard or is_late else self._looks + 1
        return self._looks >= self._patience.looks


def seconds_since_boot() -> float:
    """Read the clock that also counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
