"""Settings of domains."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from tripost_domains.app import DomainsService
from tripost_domains.settings import DomainsSettings
from tripost_shared.settings import CommonSettings, SettingsError, explain


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


@pytest.mark.parametrize(
    ("tracking_days", "lifetime_seconds", "accepted"),
    [("5.9", "432000", "6 or more"), ("30", "2592000", "31 or more"), ("1", "100", "1.01 or more")],
    ids=["the default life time", "a long life time", "a short life time"],
)
def test_a_tracking_that_forgets_messages_before_the_queue_is_done_with_them_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, tracking_days: str, lifetime_seconds: str, accepted: str
) -> None:
    """Its facts are what keeps a message that comes again from being delivered twice."""
    monkeypatch.setenv("TRIPOST_DOMAINS_TRACKING_DAYS", tracking_days)
    monkeypatch.setenv("TRIPOST_DOMAINS_QUEUE_LIFETIME_SECONDS", lifetime_seconds)
    with pytest.raises(SettingsError) as raised:
        DomainsService(CommonSettings())
    told = str(raised.value)
    assert told.startswith(f"TRIPOST_DOMAINS_TRACKING_DAYS: {tracking_days} is too short")
    assert f"{accepted} with TRIPOST_DOMAINS_QUEUE_LIFETIME_SECONDS at {lifetime_seconds}" in told


def test_a_tracking_of_a_day_more_than_the_queues_life_time_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_DOMAINS_TRACKING_DAYS", "6")
    assert DomainsSettings().tracked_for(timedelta(days=5)) == timedelta(days=6)
