"""Limits over all replicas, at the price of a message only where a limit is near.

While a count is far from its limit a replica gathers what it adds: 2 % of the limit at most, for 100 ms at most, and
only where it has heard the total within that time. Near it, each addition is told at once, and the total that comes
back decides: of several replicas that add at the same moment the server's order tells who was within the limit.

While the counters are away each replica counts by itself, and tells them what it has counted once they are back.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

import structlog

from tripost_shared.clock import Clock
from tripost_shared.counters.port import Count, Counters, CountersUnavailable
from tripost_shared.counters.sliding import share_of_previous

log = structlog.get_logger()

FAR: Final = 0.8  # of the limit: from there on all is told at once
MOST_UNSENT: Final = 0.02  # of the limit, by each replica
FRESH_SECONDS: Final = 0.1
AWAY_SECONDS: Final = 1.0  # until counters that did not answer are asked again
CAPACITY: Final = 20_000  # counts remembered, about 300 octets each; one that is not is asked for again


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be added to a count, so that it stays within `most`."""

    count: Count
    most: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What was added to all counts claimed: `granted`, which may be less than was wanted.

    `reached`: the claim that did not leave more, None: all was granted. `near`: those beyond FAR of their limit now.
    `passed`: how many had passed in the window of `reached`, about; `near` tells it of its own, these included.
    """

    granted: int
    reached: Claim | None = None
    passed: int = 0
    near: tuple[tuple[Claim, int], ...] = ()


@dataclass(slots=True)
class _Standing:
    """What a replica knows of a count: the total it heard, when, what it has not told yet, and the window before."""

    heard: int = 0
    heard_at: float = -FRESH_SECONDS
    unsent: int = 0
    previous: int | None = None

    def estimate(self, share: float) -> float:
        """Give about how many have passed within the window's length."""
        return self.heard + self.unsent + (self.previous or 0) * share


class GatheredCounts:
    """Takes from limits, and gives back. `close` tells what is untold yet."""

    def __init__(self, counters: Counters, clock: Clock, counted_alone: Callable[[], None] = lambda: None) -> None:
        self._counters = counters
        self._clock = clock
        self._counted_alone = counted_alone  # is told of each decision that the counters had no part in
        self._standings: OrderedDict[Count, _Standing] = OrderedDict()
        self._untold: dict[Count, _Standing] = {}
        self._noted: OrderedDict[Count, None] = OrderedDict()
        self._away_until = 0.0
        self._is_away = False
        self._timer: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def take(self, claims: Sequence[Claim], amount: int = 1) -> Taken:
        """Add as much as all of the claims leave room for, `amount` at most."""
        now = self._clock.now()
        held = [
            (claim, self._standing(claim.count), share_of_previous(now, claim.count.window_seconds)) for claim in claims
        ]
        if all(self._is_far(claim, standing, share, amount) for claim, standing, share in held):
            self._add(claims, amount)
            return Taken(amount)
        totals = await self._totals([(claim.count, standing) for claim, standing, _ in held], amount)
        granted, reached, passed = amount, None, 0
        estimates = []
        for (claim, standing, share), total in zip(held, totals, strict=True):
            estimate = total + (standing.previous or 0) * share
            estimates.append(estimate)
            room = max(0, floor(claim.most - (estimate - amount) + 1e-9))
            if room < granted:
                granted, reached, passed = room, claim, round(estimate - amount)
        if granted < amount:
            self._add(claims, granted - amount)
        near = tuple(
            (claim, round(estimate - (amount - granted)))
            for claim, estimate in zip(claims, estimates, strict=True)
            if estimate - (amount - granted) >= FAR * claim.most
        )
        return Taken(granted, reached, passed, near)

    def give_back(self, claims: Sequence[Claim], amount: int = 1) -> None:
        """Take away what was added and came to nothing; the other replicas hear of it soon."""
        if amount:
            self._add(claims, -amount)

    async def is_first(self, count: Count) -> bool:
        """Tell once over all replicas, and no more until the count's window is over, that this is the first time."""
        if count in self._noted:
            return False
        self._noted[count] = None
        if len(self._noted) > CAPACITY:
            self._noted.popitem(last=False)
        try:
            return (await self._counters.add_all([(count, 1)])) == [1]
        except CountersUnavailable:
            return True

    async def close(self) -> None:
        """Tell what has gathered, if the counters can be reached."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._telling:
            task.cancel()
        await self._tell(again=False)

    def _standing(self, count: Count) -> _Standing:
        standing = self._standings.get(count)
        if standing is None:
            standing = self._standings[count] = self._untold.get(count) or _Standing()
            if len(self._standings) > CAPACITY:
                self._standings.popitem(last=False)
        self._standings.move_to_end(count)
        return standing

    def _is_far(self, claim: Claim, standing: _Standing, share: float, amount: int) -> bool:
        if standing.previous is None or standing.unsent + amount > claim.most * MOST_UNSENT:
            return False
        is_fresh = self._clock.monotonic() - standing.heard_at <= FRESH_SECONDS
        return is_fresh and standing.estimate(share) + amount < FAR * claim.most

    def _add(self, claims: Sequence[Claim], amount: int) -> None:
        for claim in claims:
            standing = self._standing(claim.count)
            standing.unsent += amount
            self._untold[claim.count] = standing
        self._tell_later(FRESH_SECONDS)

    async def _totals(self, held: Sequence[tuple[Count, _Standing]], amount: int) -> list[int]:
        """Add, together with what is untold of these counts; gives totals, by ourselves while the counters are away."""
        sent = []
        for count, standing in held:
            sent.append((count, standing, standing.unsent + amount))
            standing.unsent = 0
            self._untold.pop(count, None)
        if self._clock.monotonic() >= self._away_until:
            try:
                return await self._told(sent)
            except CountersUnavailable as error:
                self._be_away(error)
        self._counted_alone()
        for count, standing, unsent in sent:
            standing.unsent += unsent
            self._untold[count] = standing
        self._tell_later(AWAY_SECONDS)
        return [standing.heard + standing.unsent for _, standing in held]

    async def _told(self, sent: Sequence[tuple[Count, _Standing, int]]) -> list[int]:
        """Tell the counters what to add; raises CountersUnavailable.

        Of a window that is seen for the first time the one before is read.
        """
        new = [(count, standing) for count, standing, _ in sent if standing.previous is None]
        adding = self._counters.add_all([(count, amount) for count, _, amount in sent])
        if new:
            totals, before = await asyncio.gather(
                adding, self._counters.read_all([count.before for count, _ in new]), return_exceptions=True
            )
            if isinstance(totals, BaseException):
                raise totals
            if not isinstance(before, BaseException):
                for (count, standing), previous in zip(new, before, strict=True):
                    untold = self._untold.get(count.before)
                    standing.previous = max(0, previous + (untold.unsent if untold is not None else 0))
        else:
            totals = await adding
        now = self._clock.monotonic()
        for (_, standing, _), total in zip(sent, totals, strict=True):
            standing.heard, standing.heard_at = total, now
        if self._is_away:
            self._is_away = False
            log.info("shared counters are back")
        return totals

    def _be_away(self, error: CountersUnavailable) -> None:
        self._away_until = self._clock.monotonic() + AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            log.warning("shared counters are away, each replica counts by itself", because=str(error))

    def _tell_later(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._begin_to_tell)

    def _begin_to_tell(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self._tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, *, again: bool = True) -> None:
        """Tell all that has gathered; where the counters are away, once more after a while."""
        untold, self._untold = self._untold, {}
        sent = [(count, standing, standing.unsent) for count, standing in untold.items() if standing.unsent]
        if not sent:
            return
        for _, standing, _ in sent:
            standing.unsent = 0
        try:
            await self._told(sent)
        except CountersUnavailable as error:
            self._be_away(error)
            for count, standing, unsent in sent:
                standing.unsent += unsent
                self._untold[count] = standing
            if again:
                self._tell_later(AWAY_SECONDS)
