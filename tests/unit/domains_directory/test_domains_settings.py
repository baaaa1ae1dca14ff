"""Settings of domains."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from tripost_domains.settings import DomainsSettings
from tripost_shared.settings import explain


def test_an_empty_health_address_switches_the_listener_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_DOMAINS_HEALTH_LISTEN", "")
    assert DomainsSettings().health_listen is None


def test_a_postmaster_that_is_no_address_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_DOMAINS_POSTMASTER", "ann")
    with pytest.raises(ValidationError) as raised:
        DomainsSettings()
    assert explain(raised.value).startswith("TRIPOST_DOMAINS_POSTMASTER: 'ann' is not a mail address")


def test_what_is_stale_is_never_younger_than_what_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_DOMAINS_DIRECTORY_FRESH_SECONDS", "900")
    assert DomainsSettings().cache_limits().stale_for == timedelta(seconds=900)
