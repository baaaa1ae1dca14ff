"""The registry of checks."""

import pytest

from tripost_filter.checks.greylist import KnownTriplets
from tripost_filter.exemptions import Exemptions
from tripost_filter.registry import CHECKS, Surroundings, build_checks
from tripost_filter.settings import FilterSettings
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import DEFAULT_CHECKS, CheckPolicy, FilterConfig, OnError
from tripost_shared.kv.memory import MemoryBucket
from tripost_shared.mail.client import Client, ListenerKind
from unit.filter.mails import CachedTable


@pytest.fixture
def around(clock: FrozenClock) -> Surroundings:
    return Surroundings("mx.dest.example", clock, CachedTable(), MemoryBucket(clock), KnownTriplets(clock))


def test_every_check_has_the_name_under_which_it_is_registered(around: Surroundings) -> None:
    built = {name: registration.build(FilterConfig(), around) for name, registration in CHECKS.items()}
    assert {name: check.name for name, check in built.items()} == {name: name for name in CHECKS}
    assert all(check.stages for check in built.values())


def test_checks_have_their_default_policy_unless_the_configuration_has_another(around: Surroundings) -> None:
    mine = CheckPolicy(on_error=OnError.TEMPFAIL)
    policies = {check.name: policy for check, policy in build_checks(FilterConfig(checks={"spf": mine}), around)}
    assert policies["spf"] == mine
    assert policies["greylist"] == CHECKS["greylist"].policy


def test_admin_api_knows_exactly_the_checks_there_are() -> None:
    """It refuses a policy for any other name, which would be for nothing."""
    assert set(DEFAULT_CHECKS) == set(CHECKS)


def test_a_network_that_cannot_be_read_exempts_nobody_and_breaks_nothing(around: Surroundings) -> None:
    config = FilterConfig(exempt_networks=("nonsense", "192.0.2.1/24"))
    assert len(build_checks(config, around)) == len(CHECKS)


def test_a_network_with_a_zone_exempts_nobody() -> None:
    client = Client("fe80::1", 25, "mx", ListenerKind.MX)
    assert Exemptions(["fe80::/64"]).cover(client)
    assert not Exemptions(["fe80::%x/64"]).cover(client)


@pytest.mark.parametrize(
    ("client", "is_exempt"),
    [
        pytest.param(Client("192.0.2.9", announced_by_proxy=True), True, id="announced, in an exempt network"),
        pytest.param(Client("198.51.100.9", announced_by_proxy=True), False, id="announced, in none"),
        pytest.param(Client("127.0.0.1"), True, id="loopback"),
        pytest.param(Client("127.0.0.1", announced_by_proxy=True), False, id="announced as loopback"),
        pytest.param(Client("::1", announced_by_proxy=True), False, id="announced as IPv6 loopback"),
        pytest.param(Client("0.0.0.0", announced_by_proxy=True), False, id="announced as no address"),
        pytest.param(
            Client("192.0.2.9", announced_by_proxy=True, unnamed_by_proxy=True), False, id="the proxy's own address"
        ),
        pytest.param(Client(""), False, id="no address"),
    ],
)
def test_networks_exempt_by_the_real_address(client: Client, is_exempt: bool) -> None:
    networks = ["192.0.2.0/24", "127.0.0.0/8", "::1/128", "0.0.0.0/8"]
    assert Exemptions(networks).cover(client) == is_exempt


def test_an_empty_health_address_switches_health_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_FILTER_HEALTH_LISTEN", "")
    assert FilterSettings().health_listen is None
    monkeypatch.setenv("TRIPOST_FILTER_HEALTH_LISTEN", "127.0.0.1:9999")
    assert FilterSettings().health_listen == "127.0.0.1:9999"
