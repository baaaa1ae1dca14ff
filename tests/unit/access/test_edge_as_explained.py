"""What `tripost access explain` says is what edge does, whenever it comes to know what it has to."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tripost_admin_api.api.access_explain import ExplainQuery, explained, facts_of
from tripost_edge.limits.rule_hits import RuleHits
from tripost_edge.limits.told_refusals import ToldRefusals
from tripost_edge.session.session import Session
from tripost_edge.stages.access import Access
from tripost_edge.stages.journal import Journal
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.access import AccessAction, AccessConfig, AccessRule
from tripost_shared.contracts.events import Fact
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.client import Client
from tripost_shared.spool.memory import MemoryEventLog

REFUSING = {AccessAction.DENY, AccessAction.TEMPFAIL}
REVERSE = {"192.0.2.7": "7.2.0.192.in-addr.arpa", "198.51.100.1": "1.100.51.198.in-addr.arpa"}


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


RULES = st.lists(
    st.fixed_dictionaries(
        {
            "action": st.sampled_from(AccessAction),
            "networks": some("192.0.2.0/24", "192.0.2.7/32", "0.0.0.0/0"),
            "names": some(".example.org", "mail.example.org"),
            "helo": some("c.example", ".example", "literal"),
            "tls": st.sampled_from([None, True, False]),
            "listener": st.sampled_from(["", "mx"]),
        }
    ),
    max_size=6,
)
QUERIES = st.builds(
    ExplainQuery,
    address=st.sampled_from(sorted(REVERSE)),
    listener=st.sampled_from(["mx", "proxy"]),
    helo=st.sampled_from(["c.example", "other.test", "[192.0.2.7]"]),
    name=st.sampled_from(["", "mail.example.org", "mail.example.net"]),
    tls=st.booleans(),
)


@given(RULES, QUERIES)
def test_the_rule_that_explain_names_is_the_one_that_edge_acts_by(given: list[Any], query: ExplainQuery) -> None:
    config = AccessConfig(1, tuple(AccessRule(f"r{number}", **rule) for number, rule in enumerate(given)))
    told = explained(config, facts_of(query, None))
    expected = told[0].rule if told else None
    assert asyncio.run(decided_by_edge(config, query)) == expected
    assert not told or told[0].is_certain


async def decided_by_edge(config: AccessConfig, query: ExplainQuery) -> AccessRule | None:
    """Play the session of such a client until it is refused, or has come to MAIL; gives the rule that has decided."""
    clock, log = FrozenClock(), MemoryEventLog()
    access = Access(names_of(query), Journal(log, clock, ToldRefusals(clock, 0)), RuleHits(), clock)
    access.take_config(config)
    session = Session("1k3v9q2m8f0abcde", Client(query.address, listener=query.listener))
    is_shut_out = access.shuts_out(session.client)
    refusal = await access.meet(session)
    assert refusal is not None or not is_shut_out
    if refusal is None:
        session.learn(tls="TLSv1.3" if query.tls else "")
        session.learn(helo=query.helo or "", esmtp=True)
        refusal = await access.hello(session) or await access.mail(session)
    rule = session.admission.rule
    assert (refusal is not None) is (rule is not None and rule.action in REFUSING)
    assert session.is_allowed is (rule is not None and rule.vouches)
    assert {event.rule for event in log.events if event.fact is Fact.REFUSED} == (
        {rule.name} if refusal and rule else set()
    )
    return rule


def names_of(query: ExplainQuery) -> TableResolver:
    resolver = TableResolver()
    if query.name:
        resolver.add(f"{REVERSE[query.address]} PTR {query.name}")
        resolver.add(f"{query.name} A {query.address}")
    return resolver
