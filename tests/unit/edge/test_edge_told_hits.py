"""Hits of access rules on their way to the totals of all replicas."""

from tripost_edge.defence.told_hits import ToldHits
from tripost_edge.limits.rule_hits import MOST_UNTOLD, RuleHits, RuleKey
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.access import HITS, AccessAction, AccessRule
from tripost_shared.counters.totals import MemoryTotals

RULE = AccessRule("bad", AccessAction.DENY, made_at=3)
REMADE = AccessRule("bad", AccessAction.DENY, made_at=9)


async def told(totals: MemoryTotals) -> dict[str, int]:
    return {key: total.total for key, total in (await totals.all(HITS)).items()}


async def test_workers_add_up_and_a_rule_made_anew_begins_at_zero(clock: FrozenClock) -> None:
    totals = MemoryTotals(clock)
    for rules in ((RULE, RULE), (RULE, REMADE)):
        hits = RuleHits()
        teller = ToldHits(hits, totals)
        for rule in rules:
            hits.count(rule)
        await teller.tell()
        await teller.tell()
    assert await told(totals) == {"bad.3": 3, "bad.9": 1}


async def test_what_cannot_be_told_is_told_later(clock: FrozenClock) -> None:
    totals, hits = MemoryTotals(clock), RuleHits()
    teller = ToldHits(hits, totals)
    totals.is_unavailable = True
    hits.count(RULE)
    await teller.tell()
    hits.count(RULE)
    totals.is_unavailable = False
    await teller.tell()
    assert await told(totals) == {"bad.3": 2}


def test_what_waits_to_be_told_is_bounded() -> None:
    hits = RuleHits()
    for number in range(MOST_UNTOLD + 5):
        hits.count(AccessRule(f"r{number}", AccessAction.ALLOW))
    hits.count(AccessRule("r0", AccessAction.ALLOW))
    counted = hits.take()
    assert (len(counted), counted[RuleKey("r0", 0)]) == (MOST_UNTOLD, 2)
