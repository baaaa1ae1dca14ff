"""What became of a message, over all its recipients; pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from tripost_shared.contracts.events import Fact

# A recipient's state is its newest fact among these; a settled one stays settled, whatever clocks say: an attempt that
# was deferred can be told late by another replica.
UNSETTLED: Final = frozenset({Fact.DEFERRED, Fact.HELD, Fact.RELEASED})
SETTLED: Final = frozenset({Fact.DELIVERED, Fact.RELAYED, Fact.FAILED, Fact.DISCARDED})
OF_RECIPIENTS: Final = UNSETTLED | SETTLED

# The first of these that some recipient is in is the message's status: what asks most for an operator's eye.
STATES: Final = (Fact.HELD, Fact.DEFERRED, Fact.FAILED, Fact.DISCARDED, Fact.DELIVERED, Fact.RELAYED)


class Seen(NamedTuple):
    """What counts of a fact. `order` grows with time."""

    recipient: str
    fact: Fact
    order: float


def status_of(facts: Iterable[Seen]) -> Fact:
    """Derive a message's status: one of STATES, or BOUNCED for FAILED once the sender was told, ACCEPTED, REFUSED.

    LIMIT_WARNED where that is all: a transaction that came to no message.
    """
    newest: dict[str, Seen] = {}
    others: set[Fact] = set()
    for seen in facts:
        if seen.fact not in OF_RECIPIENTS:
            others.add(seen.fact)
            continue
        known = newest.get(seen.recipient)
        if known is None or _weight(known) <= _weight(seen):
            newest[seen.recipient] = seen
    states = {Fact.DEFERRED if seen.fact is Fact.RELEASED else seen.fact for seen in newest.values()}
    for state in STATES:
        if state in states:
            return Fact.BOUNCED if state is Fact.FAILED and Fact.BOUNCED in others else state
    if others and others <= {
        Fact.REFUSED,
        Fact.LIMIT_WARNED,
    }:  # a warning settles nothing; alone, the transaction had no end
        return Fact.REFUSED if Fact.REFUSED in others else Fact.LIMIT_WARNED
    return Fact.ACCEPTED


def _weight(seen: Seen) -> tuple[bool, float]:
    return seen.fact in SETTLED, seen.order
