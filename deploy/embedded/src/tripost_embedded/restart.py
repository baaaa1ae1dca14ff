"""When a service that has ended is started again. Pure.

A service that dies is started again, quickly at first, then with growing delays; so is one that was killed because it
hung. One that exits for a wrong setting is not: nothing but its operator can mend that. That is so until it was ready
for the first time. What it refuses later it has taken before (a port that somebody holds for a moment, a disk that is
full), so that is a death like others. One that was ended to begin anew is started at once, and has not died.
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
    ENDING = "ending"  # to be started anew at once
    STOPPING = "stopping"
    STOPPED = "stopped"
    REFUSED = "refused"  # a setting is wrong


class Event(StrEnum):
    """What happens to it."""

    ANSWERED = "answered"  # its health end point says that it is ready
    DIED = "died"
    REFUSED = "refused"  # exited for a wrong setting
    DUE = "due"  # the delay is over
    RENEW = "renew"  # it is to end and to begin anew
    STOP = "stop"  # the cluster stops


NEXT_PHASE: Final = MappingProxyType(
    {
        (Phase.STARTING, Event.ANSWERED): Phase.READY,
        (Phase.STARTING, Event.DIED): Phase.WAITING,
        (Phase.STARTING, Event.REFUSED): Phase.REFUSED,
        (Phase.STARTING, Event.RENEW): Phase.ENDING,
        (Phase.STARTING, Event.STOP): Phase.STOPPING,
        (Phase.READY, Event.DIED): Phase.WAITING,
        (Phase.READY, Event.RENEW): Phase.ENDING,
        (Phase.READY, Event.STOP): Phase.STOPPING,
        (Phase.ENDING, Event.DIED): Phase.STARTING,
        (Phase.ENDING, Event.REFUSED): Phase.REFUSED,
        (Phase.ENDING, Event.STOP): Phase.STOPPING,
        (Phase.WAITING, Event.DUE): Phase.STARTING,
        (Phase.WAITING, Event.STOP): Phase.STOPPED,
        (Phase.STOPPING, Event.DIED): Phase.STOPPED,
        (Phase.STOPPING, Event.REFUSED): Phase.STOPPED,
    }
)


@dataclass(frozen=True, slots=True)
class Life:
    """A service's phase, how often in a row it has died young, and whether it was ever ready."""

    phase: Phase = Phase.STARTING
    deaths: int = 0
    has_been_ready: bool = False

    def after(self, event: Event, lived: timedelta = timedelta()) -> "Life":
        """Give the life after the event; `lived` is how long the process that died was up. KeyError: cannot happen."""
        phase = NEXT_PHASE[self.phase, event]
        has_been_ready = self.has_been_ready or phase is Phase.READY
        if event is not Event.DIED or self.phase is Phase.ENDING:
            return Life(phase, self.deaths, has_been_ready)
        return Life(phase, 1 if lived >= STABLE_AFTER else self.deaths + 1, has_been_ready)

    @property
    def delay(self) -> timedelta:
        """How long to wait before the next start: doubled with each death in a row, up to the longest."""
        doublings = min(max(self.deaths - 1, 0), 16)
        return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def event_of_exit(code: int, *, may_refuse: bool) -> Event:
    """Tell what an exit code means; negative ones are signals. `may_refuse`: whether its code can tell of a setting."""
    return Event.REFUSED if may_refuse and code == WRONG_SETTING else Event.DIED
