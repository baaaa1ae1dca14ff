"""Which control rule decides, and when it can be said."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_shared.contracts.control import ControlAction, ControlRule
from tripost_shared.control.patterns import address_spellings, canonical_pattern
from tripost_shared.control.rules import ControlRules, MailFacts

FACTS = MailFacts(
    "Ann@a.b.example",
    1000,
    "bob@dest.example",
    login="user@dest.example",
    address="192.0.2.7",
    helo="mail.client.example",
    listener="submission",
)


def rule(action: str = "deny", name: str = "r", **conditions: Any) -> ControlRule:
    return ControlRule(name, ControlAction(action), **conditions)


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        pytest.param({}, True, id="no condition"),
        pytest.param({"reverse_paths": ("ann@a.b.example",)}, True, id="the address in any case"),
        pytest.param({"reverse_paths": ("bob@a.b.example", "@a.b.example")}, True, id="any of several"),
        pytest.param({"reverse_paths": ("@b.example",)}, False, id="@ is that domain alone"),
        pytest.param({"reverse_paths": (".b.example",)}, True, id="below a domain"),
        pytest.param({"reverse_paths": (".a.b.example",)}, False, id="a domain is not below itself"),
        pytest.param({"reverse_paths": (".example",)}, True, id="far below"),
        pytest.param({"reverse_paths": ("<>",)}, False, id="not the null one"),
        pytest.param({"recipients": ("@dest.example",)}, True, id="recipient's domain"),
        pytest.param({"recipients": ("@est.example",)}, False, id="look-alike"),
        pytest.param({"logins": ("*",)}, True, id="any login"),
        pytest.param({"logins": ("user@dest.example",)}, True, id="that login"),
        pytest.param({"logins": ("other@dest.example",)}, False, id="another login"),
        pytest.param({"networks": ("192.0.2.0/24", "2001:db8::/32")}, True, id="network"),
        pytest.param({"networks": ("198.51.100.0/24",)}, False, id="another network"),
        pytest.param({"helo": (".client.example",)}, True, id="HELO below"),
        pytest.param({"helo": ("literal",)}, False, id="HELO is no literal"),
        pytest.param({"listeners": ("submission",)}, True, id="listener"),
        pytest.param({"listeners": ("mx",)}, False, id="another listener"),
        pytest.param({"size_over_octets": 999}, True, id="larger"),
        pytest.param({"size_over_octets": 1000}, False, id="as large"),
        pytest.param({"logins": ("*",), "listeners": ("mx",)}, False, id="all conditions"),
        pytest.param({"enabled": False}, False, id="switched off"),
    ],
)
def test_a_rule_matches_by_all_of_its_conditions(conditions: dict[str, Any], matches: bool) -> None:
    decided = ControlRules([rule(**conditions)]).rule_on(FACTS).decided_by
    assert (decided is not None) is matches


def test_the_null_reverse_path_and_no_login() -> None:
    facts = replace(FACTS, reverse_path="", login="", address="")
    assert ControlRules([rule(reverse_paths=("<>",))]).rule_on(facts).decided_by
    assert not ControlRules([rule(logins=("*",)), rule(networks=("0.0.0.0/0",))]).rule_on(facts).decided_by


def test_the_first_that_ends_the_evaluation_decides_and_others_act_on_the_way() -> None:
    rules = ControlRules(
        [
            rule("add-header", "mark", header_name="X-Mark", header_value="1"),
            rule("limit", "count", rate="news"),
            rule("allow", "ok"),
            rule("deny", "never"),
            rule("limit", "nor this", rate="other"),
        ]
    )
    ruling = rules.rule_on(FACTS)
    assert ruling.decided_by is not None
    assert (ruling.decided_by.name, ruling.rates, ruling.fields) == ("ok", ["news"], [("X-Mark", "1")])


def test_before_a_recipient_is_known_a_rule_that_waits_for_one_stops_the_evaluation() -> None:
    """It may be the first that matches: what comes after it must not refuse the transaction."""
    rules = ControlRules(
        [
            rule("limit", recipients=("@dest.example",), rate="x"),
            rule("allow", recipients=("bob@dest.example",)),
            rule(),
        ]
    )
    at_mail = replace(FACTS, recipient=None)
    assert rules.rule_on(at_mail).decided_by is None
    at_rcpt = [rules.rule_on(replace(FACTS, recipient=one)).decided_by for one in ("bob@dest.example", "x@y.example")]
    assert [decided.action.value for decided in at_rcpt if decided] == ["allow", "deny"]
    assert ControlRules([rule("allow", recipients=("a@b.c",), logins=("n@n.n",)), rule()]).rule_on(at_mail).decided_by


def test_a_rule_with_a_condition_that_nobody_can_read_is_left_out() -> None:
    rules = ControlRules([rule(name="broken", networks=("192.0.2.0/99",))])
    assert (rules.unreadable, rules.are_none) == (["broken"], True)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Ann@Dest.Example", "ann@dest.example"),
        ("@Dest.Example.", "@dest.example"),
        (".BÜCHER.example", ".xn--bcher-kva.example"),
        ('"a b"@dest.example', '"a b"@dest.example'),
    ],
)
def test_a_pattern_is_stored_in_one_form(text: str, stored: str) -> None:
    assert canonical_pattern(text) == stored


@pytest.mark.parametrize("text", ["", "@", ".", "dest.example", "@@x", "a@b@c", "@a b", "a@b\n", "*@dest.example"])
def test_what_is_no_pattern_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither of: an address, @example\.org for a domain"):
        canonical_pattern(text)


DOMAINS = st.sampled_from(["a.example", "b.example", "x.b.example"])
PATTERNS = st.lists(
    DOMAINS.flatmap(lambda domain: st.sampled_from([f"u@{domain}", f"@{domain}", ".example"])), max_size=2
)
RULES = st.builds(
    ControlRule,
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from(list(ControlAction)),
    reverse_paths=PATTERNS.map(tuple),
    recipients=PATTERNS.map(tuple),
    size_over_octets=st.sampled_from([None, 10, 1000]),
)


@given(st.lists(RULES, max_size=6), DOMAINS, st.lists(DOMAINS, max_size=3), st.integers(0, 2000))
def test_what_is_decided_at_mail_stays_decided_for_every_recipient(
    rules: list[ControlRule], sender: str, recipients: list[str], size_octets: int
) -> None:
    compiled = ControlRules(rules)
    at_mail = MailFacts(f"u@{sender}", size_octets)
    early = compiled.rule_on(at_mail)
    for recipient in recipients:
        late = compiled.rule_on(replace(at_mail, recipient=f"u@{recipient}"))
        if early.decided_by is not None:
            assert late.decided_by == early.decided_by
        assert [rule for rule in late.passed if not rule.recipients][: len(early.passed)] == list(early.passed)


LABEL = st.text("abcxyz019", min_size=1, max_size=8)


@given(st.text("abc", min_size=1, max_size=5), st.lists(LABEL, min_size=2, max_size=5))
def test_an_address_matches_itself_its_domain_and_what_is_above_and_nothing_else(local: str, labels: list[str]) -> None:
    domain = ".".join(labels)
    above = {"." + ".".join(labels[place:]) for place in range(1, len(labels))}
    assert address_spellings(f"{local}@{domain}") == {f"{local}@{domain}", f"@{domain}"} | above
    for pattern in (f"{local}@{domain}", f"@{domain}", f".{labels[-1]}"):
        assert canonical_pattern(pattern) == pattern
