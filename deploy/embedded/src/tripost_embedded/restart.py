"""When a service that has ended is started again. Pure.

A service that dies is started again, quickly at first, then with growing delays. One that exits for a wrong setting is
not: nothing but its operator can mend that.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tripost_shared.endings import WRONG_SETTING

FIRST_DELAY: Final = timedelta(seconds=0.2)
LONGEST_DELAY: Final = timedelta(seconds=30)
STABLE_AFTER: Final = timedelta(minutes=1)


class Phase(StrEnum):
    """Where a service is in its life."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # for its next start
    STOPPING = "stopping"
    STOPPED = "stopped"
    REFUSED = "refused"  # a setting is wrong


class Event(StrEnum):
    """What happens to it."""

    ANSWERED = "answered"  # its health end point says that it is ready
    DIED = "died"
    REFUSED = "refused"  # exited for a wrong setting
    DUE = "due"  # the delay is over
    STOP = "stop"  # the cluster stops


NEXT_PHASE: Final = MappingProxyType(
    {
        (Phase.STARTING, Event.ANSWERED): Phase.READY,
        (Phase.STARTING, Event.DIED): Phase.WAITING,
        (Phase.STARTING, Event.REFUSED): Phase.REFUSED,
        (Phase.STARTING, Event.STOP): Phase.STOPPING,
        (Phase.READY, Event.DIED): Phase.WAITING,
        (Phase.READY, Event.REFUSED): Phase.REFUSED,
        (Phase.READY, Event.STOP): Phase.STOPPING,
        (Phase.WAITING, Event.DUE): Phase.STARTING,
        (Phase.WAITING, Event.STOP): Phase.STOPPED,
        (Phase.STOPPING, Event.DIED): Phase.STOPPED,
        (Phase.STOPPING, Event.REFUSED): Phase.STOPPED,
    }
)


@dataclass(frozen=True, slots=True)
class Life:
    """A service's phase, and how often in a row it has died young."""

    phase: Phase = Phase.STARTING
    deaths: int = 0

    def after(self, event: Event, lived: timedelta = timedelta()) -> "Life":
        """Give the life after the event; `lived` is how long the process that died was up. KeyError: cannot happen."""
        phase = NEXT_PHASE[self.phase, event]
        if event is not Event.DIED:
            return Life(phase, self.deaths)
        return Life(phase, 1 if lived >= STABLE_AFTER else self.deaths + 1)

    @property
    def delay(self) -> timedelta:
        """How long to wait before the next start: doubled with each death in a row, up to the longest."""
        doublings = min(max(self.deaths - 1, 0), 16)
        return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def event_of_exit(code: int) -> Event:
    """Tell what an exit code means; negative ones are signals."""
    return Event.REFUSED if code == WRONG_SETTING else Event.DIED
