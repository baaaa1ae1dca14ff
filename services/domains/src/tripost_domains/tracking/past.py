"""What has become of a message already, as its facts tell it; pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tripost_domains.tracking.status import SETTLED
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.mail.address import folded

TELLING: Final = SETTLED | {Fact.BOUNCED, Fact.REPORTED, Fact.EXPANDED}  # the facts that matter here


@dataclass(frozen=True, slots=True)
class Past:
    """The recipients for whom nothing is left to do, what addresses were expanded into, and the DSNs that were sent."""

    final: frozenset[str] = frozenset()
    expansions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bounces: frozenset[str] = frozenset()

    def settled(self, queued: Collection[str], envelope: Collection[str] = ()) -> set[str]:
        """Name the recipients that need nothing of who takes the message again; `queued` are in the deferred queue.

        Facts tell of final recipients. An alias in the envelope is settled when all that it led to then is, wherever it
        leads now.
        """
        settled = {*self.final, *queued}
        aliases: set[str] = set()  # folded, as local addresses are looked up
        grows = True
        while grows:
            known = settled | aliases
            found = {
                folded(address)
                for address, targets in self.expansions.items()
                if all(target in settled or folded(target) in known for target in targets)
            }
            grows = not found <= aliases
            aliases |= found
        return settled | {address for address in envelope if folded(address) in aliases}


def past_of(facts: Iterable[Event]) -> Past:
    """Derive it from a message's facts, in any order.

    An address that was expanded more than once counts as its newest expansion has it: that is whom the mail went to.
    """
    final: set[str] = set()
    expansions: dict[str, Event] = {}
    bounces: set[str] = set()
    for fact in facts:
        if fact.fact in SETTLED and fact.recipient:
            final.add(fact.recipient)
        elif fact.fact is Fact.EXPANDED and fact.recipients:
            known = expansions.setdefault(fact.recipient, fact)
            expansions[fact.recipient] = max(known, fact, key=_order)
        elif fact.fact in {Fact.BOUNCED, Fact.REPORTED} and fact.related:
            bounces.add(fact.related)
    targets = {address: expansion.recipients for address, expansion in expansions.items()}
    return Past(frozenset(final), targets, frozenset(bounces))


def _order(fact: Event) -> tuple[datetime, str]:
    """Order by time; the ids of facts of one moment decide alike for every reader."""
    return fact.at, fact.id
