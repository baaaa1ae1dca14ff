"""Which next hops get on with what the queue has for them, so that it is looked at again before its time; pure."""

from collections import Counter
from collections.abc import Iterable

from tripost_domains.delivery.outcome import MAILBOX
from tripost_domains.queue.model import Claim, Share


class Momentum:
    """Remembers what came of claims since the last look at the whole queue.

    A next hop that takes mail is drained as fast as it takes it. One that takes nothing is left alone until the next
    look at the whole queue: a dead one with a long queue must not keep the database busy by being tried all the time.
    """

    def __init__(self) -> None:
        self._got_on: set[str] = set()
        self._got_stuck: set[str] = set()
        self._more: frozenset[str] = frozenset()  # next hops that may have more due than they had room for
        self._is_full = False  # whether there may be more due than all of them had room for

    @property
    def stuck(self) -> frozenset[str]:
        """The next hops that have taken nothing of what was attempted."""
        return frozenset(self._got_stuck - self._got_on)

    def begin(self) -> None:
        """Have the whole queue looked at: each next hop gets its chance."""
        self._got_on.clear()
        self._got_stuck.clear()

    def looked(self, share: Share, claims: Iterable[Claim]) -> None:
        """Note what was found: who has got all that it has room for may have more."""
        taken = Counter(claim.next_hop for claim in claims)
        used_up = {hop for hop, count in taken.items() if count >= share.room_for(hop)}
        self._more = frozenset(used_up | {hop for hop in self._more if not share.room_for(hop)})
        self._is_full = taken.total() - taken[MAILBOX] >= share.at_most

    def ended(self, next_hop: str, *, got_on: bool) -> bool:
        """Note the end of an attempt; tells whether it makes room for what may be due."""
        (self._got_on if got_on else self._got_stuck).add(next_hop)
        return next_hop in self._more or (self._is_full and next_hop != MAILBOX)
