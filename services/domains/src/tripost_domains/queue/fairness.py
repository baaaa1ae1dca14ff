"""Which of the due deliveries are claimed, and which next hops are asked for them; pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from tripost_domains.delivery.outcome import MAILBOX
from tripost_domains.queue.model import Share


class Due(NamedTuple):
    """A delivery that is due since `due_at`."""

    id: int
    next_hop: str
    due_at: datetime


def hops_to_ask(heads: Mapping[str, datetime], share: Share) -> list[str]:
    """Choose the next hops of which some delivery will be claimed, given since when the first of each is due.

    Each claim of another delivery comes after the first of its next hop, so there are never more than `at_most`.
    """
    with_room = [hop for hop in heads if share.room_for(hop)]
    first_ones = sorted(with_room, key=lambda hop: (share.busy.get(hop, 0), heads[hop]))
    to_hops = [hop for hop in first_ones if hop != MAILBOX][: share.at_most]
    return to_hops + [hop for hop in first_ones if hop == MAILBOX]


def fairest(due: Collection[Due], share: Share) -> list[int]:
    """Choose deliveries from all next hops by turns, those first that have least at work, and what is due longest.

    Mailboxes stand in no next hop's way.
    """
    turns = sorted(_turns(due, share))
    to_hops = [delivery for _, _, delivery in turns if delivery.next_hop != MAILBOX]
    to_mailboxes = [delivery for _, _, delivery in turns if delivery.next_hop == MAILBOX]
    return [delivery.id for delivery in to_hops[: share.at_most] + to_mailboxes]


def _turns(due: Iterable[Due], share: Share) -> Iterator[tuple[int, datetime, Due]]:
    """Yield, for as many as each next hop has room for, its turn after those at work, and since when it is due."""
    taken: Counter[str] = Counter()
    for delivery in sorted(due, key=lambda each: (each.due_at, each.id)):
        hop = delivery.next_hop
        if taken[hop] < share.room_for(hop):
            taken[hop] += 1
            yield share.busy.get(hop, 0) + taken[hop], delivery.due_at, delivery
