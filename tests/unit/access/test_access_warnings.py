"""What operators are warned of: rules that can never match, whole or in part."""

from typing import Any

import pytest

from tripost_shared.access.warnings import KnownListener, warnings
from tripost_shared.contracts.access import AccessAction, AccessRule

ALLOW, DENY = AccessAction.ALLOW, AccessAction.DENY
LISTENERS = (KnownListener("mx"), KnownListener("submissions", implicit_tls=True))


def rule(name: str, action: AccessAction = DENY, **conditions: Any) -> AccessRule:
    return AccessRule(name, action, **conditions)


def said(*rules: AccessRule) -> dict[str, list[str]]:
    return dict(warnings(rules, LISTENERS))


HIDDEN = "never matches: rule a before it matches all that it would"


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param({}, {}, id="all clients"),
        pytest.param({}, {"networks": ("192.0.2.0/24",), "tls": True}, id="all, then some"),
        pytest.param({"networks": ("192.0.2.0/24",)}, {"networks": ("192.0.2.7", "192.0.2.8/29")}, id="networks"),
        pytest.param({"networks": ("2001:db8::/32",)}, {"networks": ("2001:db8:1::/48",)}, id="IPv6"),
        pytest.param({"networks": ("0.0.0.0/1", "128.0.0.0/1", "::/0")}, {}, id="two halves of all"),
        pytest.param({"names": (".example.org",)}, {"names": ("a.example.org", ".b.example.org")}, id="names"),
        pytest.param({"helo": (".example",)}, {"helo": ("a.example",), "tls": False}, id="HELO"),
        pytest.param({"helo": ("literal",)}, {"helo": ("[192.0.2.7]",)}, id="literals"),
        pytest.param({"helo": ("x.example",)}, {"helo": ("x.example",), "names": (".org",)}, id="HELO, then both"),
        pytest.param({"tls": False}, {"tls": False, "helo": ("x.example",)}, id="TLS"),
        pytest.param({}, {"listener": "mx"}, id="all listeners, then one"),
        pytest.param({"listener": "mx"}, {"listener": "mx", "tls": True}, id="of one listener"),
    ],
)
def test_a_rule_that_an_earlier_one_covers_is_told(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    assert said(rule("a", **earlier), rule("b", DENY, **later)) == {"b": [HIDDEN]}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param({"networks": ("192.0.2.0/24",)}, {}, id="some, then all"),
        pytest.param({"networks": ("192.0.2.0/24",)}, {"networks": ("192.0.0.0/16",)}, id="wider"),
        pytest.param({"networks": ("0.0.0.0/0",)}, {}, id="IPv6 is left"),
        pytest.param({"names": ("a.example.org",)}, {"names": (".example.org",)}, id="wider names"),
        pytest.param({"names": (".example.org",)}, {"names": ("example.org",)}, id="the domain itself"),
        pytest.param({"helo": (".example",)}, {"names": ("a.example",)}, id="another condition"),
        pytest.param({"tls": True}, {"tls": False}, id="the other half"),
        pytest.param({"tls": True}, {}, id="whether or not"),
        pytest.param({"listener": "mx"}, {"listener": "submissions"}, id="another listener"),
        pytest.param({"enabled": False}, {}, id="not enabled"),
        pytest.param({}, {"enabled": False}, id="not enabled itself"),
    ],
)
def test_a_rule_that_can_still_match_is_not(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    assert said(rule("a", **earlier), rule("b", **later)) == {}


def test_rules_of_all_listeners_hide_those_of_one_wherever_they_stand() -> None:
    assert said(rule("b", listener="mx"), rule("a")) == {"b": [HIDDEN]}


def test_an_allowance_by_name_hides_no_refusal_since_it_wants_the_name_confirmed() -> None:
    by_name = {"names": (".example.org",)}
    assert said(rule("a", ALLOW, **by_name), rule("b", DENY, **by_name)) == {}
    assert said(rule("a", DENY, **by_name), rule("b", ALLOW, **by_name)) == {"b": [HIDDEN]}


def test_several_rules_hide_one_together_and_a_part_of_one() -> None:
    found = said(
        rule("low", networks=("192.0.2.0/25",)),
        rule("high", networks=("192.0.2.128/25",)),
        rule("all", networks=("192.0.2.0/24",)),
        rule("part", networks=("192.0.2.0/26", "198.51.100.0/24")),
    )
    assert found == {
        "all": ["never matches: rules low, high before it match all that it would"],
        "part": ["has no effect for 192.0.2.0/26: rule low before it decides there"],
    }


def test_what_is_wrong_with_a_rule_itself() -> None:
    assert said(
        rule("lost", listener="nowhere"),
        rule("plain", listener="submissions", tls=False),
        rule("twice", networks=("192.0.2.0/24", "192.0.2.7"), names=("a.example.org", ".example.org")),
        rule("friends", ALLOW, helo=("friend.example",)),
    ) == {
        "friends": [
            "lets in whoever says so: without networks or names it spares nobody bans and the test for early talkers"
        ],
        "lost": ["never matches: there is no listener 'nowhere'; there are mx, submissions"],
        "plain": ["never matches: all sessions of listener 'submissions' are encrypted"],
        "twice": ["says something twice: 192.0.2.7/32 is within 192.0.2.0/24, a.example.org is within .example.org"],
    }
    assert warnings([rule("lost", listener="nowhere")], None) == {}
