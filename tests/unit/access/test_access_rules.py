"""Which access rule decides: a table of rules, clients, and what is known of them."""

import time
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_shared.access.facts import NO_NAMES, ClientFacts, HostNames, Unknown
from tripost_shared.access.network_table import parsed_address
from tripost_shared.access.patterns import spellings
from tripost_shared.access.rules import AccessRules
from tripost_shared.contracts.access import AccessAction, AccessConfig, AccessRule

DENY, ALLOW = AccessAction.DENY, AccessAction.ALLOW
CONFIRMED = HostNames(("mail.example.org",), ("mail.example.org",))
CLAIMED = HostNames(("mail.example.org",))
FAILED = HostNames(failure="SERVFAIL")


def rules(*given: AccessRule) -> AccessRules:
    return AccessRules(AccessConfig(1, given))


def rule(name: str = "r", action: AccessAction = DENY, **conditions: Any) -> AccessRule:
    return AccessRule(name, action, **conditions)


def client(address: str = "192.0.2.7", **facts: Any) -> ClientFacts:
    return ClientFacts(address, **{"listener": "mx", "names": NO_NAMES, "helo": "c.example", "tls": False, **facts})


@pytest.mark.parametrize(
    ("conditions", "facts", "matches"),
    [
        pytest.param({}, {}, True, id="no condition"),
        pytest.param({"networks": ("192.0.2.0/24",)}, {}, True, id="network"),
        pytest.param({"networks": ("192.0.2.7/32", "2001:db8::/32")}, {"address": "2001:db8::1"}, True, id="IPv6"),
        pytest.param({"networks": ("192.0.3.0/24",)}, {}, False, id="another network"),
        pytest.param({"networks": ("0.0.0.0/0",)}, {"address": "2001:db8::1"}, False, id="all of the other version"),
        pytest.param({"networks": ("0.0.0.0/0", "::/0")}, {"address": ""}, False, id="nobody knows the address"),
        pytest.param({}, {"address": ""}, True, id="no condition on who nobody knows"),
        pytest.param({"names": ("mail.example.org",)}, {"names": CLAIMED}, True, id="a claimed name"),
        pytest.param({"names": (".example.org",)}, {"names": CLAIMED}, True, id="a suffix"),
        pytest.param({"names": (".org",)}, {"names": CLAIMED}, True, id="a short suffix"),
        pytest.param({"names": (".mail.example.org",)}, {"names": CLAIMED}, False, id="a suffix is above, not itself"),
        pytest.param({"names": ("example.org",)}, {"names": CLAIMED}, False, id="a name is no suffix"),
        pytest.param({"names": (".ample.org",)}, {"names": CLAIMED}, False, id="a suffix is of whole labels"),
        pytest.param({"names": (".example.org",)}, {"names": FAILED}, False, id="the DNS failed"),
        pytest.param({"helo": ("c.example",)}, {"helo": "C.Example."}, True, id="HELO in other spelling"),
        pytest.param({"helo": (".example",)}, {}, True, id="HELO below a suffix"),
        pytest.param({"helo": ("literal",)}, {"helo": "[192.0.2.7]"}, True, id="an address literal"),
        pytest.param({"helo": ("literal",)}, {"helo": "[IPv6:2001:db8::1]"}, True, id="an IPv6 literal"),
        pytest.param({"helo": ("literal",)}, {"helo": "literal.example"}, False, id="no literal"),
        pytest.param({"helo": ("ylmf-pc",)}, {"helo": "ylmf-pc"}, True, id="HELO of one label"),
        pytest.param({"tls": True}, {"tls": True}, True, id="encrypted"),
        pytest.param({"tls": True}, {}, False, id="not encrypted"),
        pytest.param({"tls": False}, {}, True, id="in plain text"),
        pytest.param({"listener": "mx"}, {}, True, id="its listener"),
        pytest.param({"listener": "submission"}, {}, False, id="another listener"),
        pytest.param({"enabled": False}, {}, False, id="not enabled"),
        pytest.param({"networks": ("192.0.2.0/24",), "helo": (".org",)}, {}, False, id="one condition of two"),
        pytest.param({"networks": ("192.0.2.0/24",), "helo": (".example",), "tls": False}, {}, True, id="all of three"),
        pytest.param({"networks": ("fe80::/10%eth0",)}, {}, False, id="a condition that nobody can read"),
    ],
)
def test_a_rule_matches_who_meets_all_its_conditions(
    conditions: dict[str, Any], facts: dict[str, Any], matches: bool
) -> None:
    decided = rules(rule(**conditions)).decide(client(**facts))
    assert (decided is not None) is matches
    assert decided is None or decided.is_certain


@pytest.mark.parametrize("action", list(AccessAction))
def test_only_a_confirmed_name_opens_a_door(action: AccessAction) -> None:
    for names, expected in ((CONFIRMED, True), (CLAIMED, action is not ALLOW), (FAILED, False)):
        decided = rules(rule(action=action, names=(".example.org",))).decide(client(names=names))
        assert (decided is not None) is expected


def test_the_first_match_decides_and_rules_of_all_listeners_come_first() -> None:
    found = rules(
        rule("own", listener="mx"),
        rule("other", listener="submission"),
        rule("first", networks=("192.0.2.7",)),
        rule("second", networks=("192.0.2.0/24",)),
    )
    for address, listener, name in (
        ("192.0.2.7", "mx", "first"),
        ("192.0.2.8", "mx", "second"),
        ("198.51.100.1", "mx", "own"),
        ("198.51.100.1", "submission", "other"),
    ):
        decided = found.decide(client(address, listener=listener))
        assert decided is not None
        assert decided.rule.name == name
    assert found.decide(client("198.51.100.1", listener="proxy")) is None


def test_what_is_not_known_keeps_the_decision_open_and_only_where_it_matters() -> None:
    found = rules(
        rule("by-name", names=(".example.org",), networks=("192.0.2.0/24",)),
        rule("by-helo", helo=("bad.example",), tls=False),
        rule("the-rest", networks=("192.0.2.0/24",)),
    )
    nothing = ClientFacts("192.0.2.7", "mx")
    assert [(one.rule.name, set(one.needs)) for one in found.candidates(nothing)] == [
        ("by-name", {Unknown.NAME}),
        ("by-helo", {Unknown.HELO, Unknown.TLS}),
        ("the-rest", set()),
    ]
    named = ClientFacts("192.0.2.7", "mx", NO_NAMES)
    assert [one.rule.name for one in found.candidates(named)] == ["by-helo", "the-rest"]
    encrypted = ClientFacts("192.0.2.7", "mx", NO_NAMES, None, True)
    assert [one.rule.name for one in found.candidates(encrypted)] == ["the-rest"]
    assert found.decide(ClientFacts("198.51.100.1", "mx", NO_NAMES, "good.example")) is None


NETWORKS = st.sampled_from(["192.0.2.0/24", "192.0.2.7/32", "0.0.0.0/0", "::/0"])
CONDITIONS = st.fixed_dictionaries(
    {
        "action": st.sampled_from(AccessAction),
        "networks": st.lists(NETWORKS, max_size=2).map(tuple),
        "names": st.lists(st.sampled_from([".example.org", "mail.example.org", ".net"]), max_size=2).map(tuple),
        "helo": st.lists(st.sampled_from(["c.example", ".example", "literal"]), max_size=2).map(tuple),
        "tls": st.sampled_from([None, True, False]),
        "listener": st.sampled_from(["", "mx", "submission"]),
        "enabled": st.booleans(),
    }
)
CLIENTS = st.builds(
    ClientFacts,
    st.sampled_from(["192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1", ""]),
    st.sampled_from(["mx", "submission"]),
    st.sampled_from([NO_NAMES, CLAIMED, CONFIRMED, FAILED]),
    st.sampled_from(["c.example", "example", "[192.0.2.7]"]),
    st.booleans(),
)


@given(st.lists(CONDITIONS, max_size=8), CLIENTS)
def test_the_compiled_rules_say_what_a_walk_through_them_says(given: list[dict[str, Any]], facts: ClientFacts) -> None:
    listed = tuple(AccessRule(f"r{number}", **conditions) for number, conditions in enumerate(given))
    found = AccessRules(AccessConfig(1, listed))
    in_order = [
        *(one for one in listed if not one.listener),
        *(one for one in listed if one.listener == facts.listener),
    ]
    expected = next((one for one in in_order if one.enabled and holds(one, facts)), None)
    decided = found.decide(facts)
    assert (decided.rule if decided else None) == expected
    assert decided is None or decided.is_certain
    for hidden in ({"names"}, {"helo"}, {"tls"}, {"helo", "tls"}, {"names", "helo", "tls"}):
        seen = ClientFacts(
            facts.address,
            facts.listener,
            None if "names" in hidden else facts.names,
            None if "helo" in hidden else facts.helo,
            None if "tls" in hidden else facts.tls,
        )
        early = found.decide(seen)
        if early is None or early.is_certain:  # what was decided early stays decided
            assert (early.rule if early else None) == expected


def holds(one: AccessRule, facts: ClientFacts) -> bool:
    address, names = parsed_address(facts.address), facts.names or NO_NAMES
    heeded = names.confirmed if one.action is ALLOW else names.claimed
    return (
        (not one.networks or (address is not None and any(address in ip_network(text) for text in one.networks)))
        and (not one.names or any(pattern in spellings(name) for pattern in one.names for name in heeded))
        and (not one.helo or any(pattern in spellings(facts.helo or "") for pattern in one.helo))
        and (one.tls is None or one.tls is facts.tls)
    )


@pytest.mark.parametrize(
    ("rule_count", "networks_each"), [pytest.param(1, 10_000, id="one rule"), pytest.param(10_000, 1, id="many rules")]
)
def test_ten_thousand_networks_cost_next_to_nothing(rule_count: int, networks_each: int) -> None:
    """Of each client: at most 20 µs are wanted, a few are taken; a walk through them all would take milliseconds."""
    listed = [
        rule(
            f"r{number}",
            networks=tuple(
                f"10.{place >> 8 & 255}.{place & 255}.0/{24 + place % 8}"
                for place in range(number * networks_each, (number + 1) * networks_each)
            ),
        )
        for number in range(rule_count)
    ]
    found = rules(*listed)
    facts = [ClientFacts(f"10.{high}.{low}.9", "mx") for high in range(40) for low in range(25)]
    for one in facts:  # addresses are read once
        found.decide(one)
    best = min(timed(found, facts) for _ in range(5))
    assert best < 20e-6


def timed(found: AccessRules, facts: list[ClientFacts]) -> float:
    started = time.perf_counter()
    for one in facts:
        found.decide(one)
    return (time.perf_counter() - started) / len(facts)
