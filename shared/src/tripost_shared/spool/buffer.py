"""What was pulled and waits to be handed out, and how much more to ask for. Pure: `now` is seconds of one clock.

A message in here is ours as long as the server hears of it now and then. That is done while somebody asks for messages,
so that a slow taker is not given its own backlog again and again; when nobody has asked for a while, or it took very
long, another replica shall have it.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tripost_shared.bus.nats_client import Incoming
from tripost_shared.spool.long_pull import LongPull, Numbers

OURS_SECONDS: Final = 20.0  # one of which the server heard nothing for longer may be somebody else's (at 30)
HOPE_SECONDS: Final = 20.0  # after which it is not hoped any more that somebody asks
LONGEST_SECONDS: Final = 60.0  # that one waits in here
ADAPTING: Final = 1 / 8  # how much one message counts in what is known of their weight


@dataclass(slots=True, eq=False)
class Waiting:
    """A message, what it weighs, since when it waits, and when the server last knew that it is ours."""

    pull: LongPull
    message: Incoming
    numbers: Numbers
    weight: int
    since: float
    known_at: float

    def is_ours(self, now: float) -> bool:
        """Whether nobody else can have got it meanwhile."""
        return now - self.known_at <= OURS_SECONDS


class Buffer:
    """Messages in the order in which they came. `heaviest` is the most that one weighs."""

    def __init__(self, heaviest: int) -> None:
        self._waiting: deque[Waiting] = deque()
        self._weight = 0
        self._usual_weight = float(heaviest)  # until it is known better
        self._appetite = 0
        self._asked_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> None:
        """Let one more wait."""
        self._waiting.append(waiting)
        self._weight += waiting.weight
        self._usual_weight += (waiting.weight - self._usual_weight) * ADAPTING

    def room(self, pulls: int, now: float) -> int:
        """Say how many each of so many pulls may ask for, so that together they bring about what is wanted; or 0.

        The buffer may hold more for a moment, when messages come that are heavier than those of before.
        """
        room = self._appetite - self._weight
        if room <= 0 or now - self._asked_at > HOPE_SECONDS:
            return 0
        return max(1, int(room / self._usual_weight / pulls))

    def take(self, at_most: int, now: float) -> Iterator[Waiting]:
        """Hand out until that weight is reached; what may be somebody else's by now is dropped."""
        self._appetite = at_most
        self._asked_at = now
        taken = 0
        while self._waiting and taken < at_most:
            waiting = self._pop()
            if waiting.is_ours(now):
                taken += waiting.weight
                yield waiting

    def stale(self, now: float) -> Iterator[Waiting]:
        """Remove and give what another replica shall have."""
        is_hopeless = now - self._asked_at > HOPE_SECONDS
        while self._waiting and (is_hopeless or now - self._waiting[0].since > LONGEST_SECONDS):
            waiting = self._pop()
            if waiting.is_ours(now):
                yield waiting

    def kept(self) -> Iterator[Waiting]:
        """Give what waits on."""
        yield from self._waiting

    def close(self, now: float) -> Iterator[Waiting]:
        """Remove and give all, and want no more."""
        self._appetite = 0
        while self._waiting:
            waiting = self._pop()
            if waiting.is_ours(now):
                yield waiting

    def _pop(self) -> Waiting:
        waiting = self._waiting.popleft()
        self._weight -= waiting.weight
        return waiting
