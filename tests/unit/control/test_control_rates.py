"""Which limits hold for whose mail."""

from typing import Any

import pytest

from tripost_shared.contracts.control import Amounts, Rate, RateOverride, RateScope
from tripost_shared.control.rates import (
    MESSAGES,
    RECIPIENTS,
    Limit,
    Rates,
    Sender,
    canonical_key,
    rate_and_key,
    usage_key,
)

OF_LOGIN = Rate(
    "logins",
    RateScope.LOGIN,
    messages=Amounts(minute=5, day=100),
    recipients=Amounts(hour=500),
    overrides=(RateOverride("news@dest.example", messages=Amounts(day=9000)),),
)
OF_CLIENT = Rate(
    "clients",
    RateScope.CLIENT,
    messages=Amounts(minute=10),
    overrides=(
        RateOverride("10.0.0.0/8", messages=Amounts(minute=50)),
        RateOverride("10.1.0.0/16", messages=Amounts()),
        RateOverride("127.0.0.1/32", messages=Amounts(hour=7)),
    ),
)
OF_DOMAIN = Rate("domains", RateScope.SENDER_DOMAIN, messages=Amounts(hour=3), only_by_rule=True)
RATES = Rates([OF_LOGIN, OF_CLIENT, OF_DOMAIN, Rate("off", RateScope.LOGIN, Amounts(minute=1), enabled=False)])


def held(kind: str, by_rule: tuple[str, ...] = (), **sender: Any) -> list[tuple[str, int, int]]:
    """Give key, window and number of each limit."""
    limits = RATES.limits(kind, Sender(**sender), by_rule)
    return [(limit.key, limit.window_seconds, limit.most) for limit in limits]


def test_messages_and_recipients_have_limits_of_their_own() -> None:
    ann = "login:ann@dest.example"
    assert held(MESSAGES, login="Ann@dest.example") == [(ann, 60, 5), (ann, 86_400, 100)]
    assert held(RECIPIENTS, login="Ann@dest.example") == [(ann, 3600, 500)]
    assert held(MESSAGES) == []


def test_a_key_of_its_own_has_what_its_override_says_and_else_what_all_have() -> None:
    news = "login:news@dest.example"
    assert held(MESSAGES, login="news@dest.example") == [(news, 86_400, 9000)]
    assert held(RECIPIENTS, login="news@dest.example") == [(news, 3600, 500)]


@pytest.mark.parametrize(
    ("sender", "limits"),
    [
        pytest.param({"address": "192.0.2.7"}, [("client:192.0.2.7", 60, 10)], id="an address"),
        pytest.param({"address": "2001:db8:1:2:3::4"}, [("client:2001:db8:1:2::/64", 60, 10)], id="an IPv6 /64"),
        pytest.param({"address": "10.9.9.9"}, [("client:10.9.9.9", 60, 50)], id="in a network of its own"),
        pytest.param({"address": "10.1.9.9"}, [], id="the narrowest network counts"),
        pytest.param({"address": "127.0.0.2", "is_local": True}, [], id="this machine is not counted"),
        pytest.param({"address": "127.0.0.1", "is_local": True}, [("client:127.0.0.1", 3600, 7)], id="unless named"),
        pytest.param({"address": ""}, [], id="whom nobody knows"),
    ],
)
def test_clients_are_counted_by_their_network(sender: dict[str, Any], limits: list[tuple[str, int, int]]) -> None:
    assert held(MESSAGES, **sender) == limits


def test_a_rate_for_rules_alone_counts_what_a_rule_names_it_for() -> None:
    assert held(MESSAGES, reverse_path="x@a.example") == []
    named = held(MESSAGES, ("domains", "domains", "gone"), reverse_path="x@a.example")
    assert named == [("sender-domain:a.example", 3600, 3)]
    assert held(MESSAGES, ("domains",), reverse_path="") == []


def test_a_rate_with_a_key_that_nobody_can_read_is_left_out() -> None:
    broken = Rate("broken", RateScope.CLIENT, Amounts(minute=1), overrides=(RateOverride("192.0.2.0/99"),))
    rates = Rates([broken, OF_LOGIN])
    assert rates.unreadable == ["broken"]
    assert {limit.rate for limit in rates.limits(MESSAGES, Sender("192.0.2.7", "ann@dest.example"))} == {"logins"}


def test_all_limits_of_a_key_are_found() -> None:
    kinds = [(limit.rate, limit.kind, limit.window_seconds) for limit in RATES.limits_of_key("login:ann@dest.example")]
    assert kinds == [("logins", MESSAGES, 60), ("logins", MESSAGES, 86_400), ("logins", RECIPIENTS, 3600)]


def test_a_limit_says_itself_and_its_counts_key_can_be_read_back() -> None:
    limit = Limit("logins", MESSAGES, "login:ann@dest.example", 3600, 100)
    assert limit.in_words == "100 in an hour for login ann@dest.example"
    assert rate_and_key(limit.count_key) == ("logins", "login:ann@dest.example")


@pytest.mark.parametrize(
    ("scope", "text", "stored"),
    [
        (RateScope.LOGIN, "News@Dest.Example", "news@dest.example"),
        (RateScope.CLIENT, "192.0.2.7", "192.0.2.7/32"),
        (RateScope.SENDER_DOMAIN, "Dest.Example.", "dest.example"),
    ],
)
def test_an_overrides_key_is_stored_in_one_form(scope: RateScope, text: str, stored: str) -> None:
    assert canonical_key(scope, text) == stored


@pytest.mark.parametrize("scope", list(RateScope))
def test_an_overrides_key_that_is_none_is_refused(scope: RateScope) -> None:
    with pytest.raises(ValueError, match=r"is not an? "):
        canonical_key(scope, "not one")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("login:Ann@dest.example", "login:ann@dest.example"),
        ("client:192.0.2.7", "client:192.0.2.7"),
        ("client:2001:db8:1:2:3::9", "client:2001:db8:1:2::/64"),
        ("client:2001:db8:1:2::/64", "client:2001:db8:1:2::/64"),
        ("sender-domain:Dest.Example", "sender-domain:dest.example"),
    ],
)
def test_a_key_is_read_as_people_write_it(text: str, key: str) -> None:
    assert usage_key(text) == key


@pytest.mark.parametrize("text", ["", "ann@dest.example", "login:", "client:x", "mailbox:a@b.example"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not begin with|is not a login|is no address"):
        usage_key(text)
