"""Settings of delivery."""

from ipaddress import ip_address, ip_network

import pytest
from pydantic import ValidationError

from tripost_domains.delivery.settings import DeliverySettings
from tripost_shared.settings import explain


def test_networks_and_addresses_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_DOMAINS_RELAY_TO_PRIVATE", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("TRIPOST_DOMAINS_RELAY_OWN_ADDRESSES", "192.0.2.1,2001:db8::1")
    settings = DeliverySettings()
    assert settings.relay_to_private == [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    assert settings.relay_own_addresses == [ip_address("192.0.2.1"), ip_address("2001:db8::1")]


@pytest.mark.parametrize("name", ["RELAY_TO_PRIVATE", "RELAY_OWN_ADDRESSES"])
def test_a_zone_which_no_address_in_the_dns_has_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"TRIPOST_DOMAINS_{name}", "192.0.2.1, fe80::1%eth0")
    with pytest.raises(ValidationError) as raised:
        DeliverySettings()
    told = explain(raised.value)
    assert told.startswith(f"TRIPOST_DOMAINS_{name}: ")
    assert "names a zone" in told


@pytest.mark.parametrize("name", ["RELAY_TO_PRIVATE", "RELAY_OWN_ADDRESSES"])
def test_what_is_none_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"TRIPOST_DOMAINS_{name}", "192.0.2.1,inside.example")
    with pytest.raises(ValidationError) as raised:
        DeliverySettings()
    assert explain(raised.value).startswith(f"TRIPOST_DOMAINS_{name}: value is not a valid IPv4 or IPv6")
