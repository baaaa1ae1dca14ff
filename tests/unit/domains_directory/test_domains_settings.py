"""Settings of domains."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from tripost_domains.adapters.gssapi_acceptor import GssapiAcceptor
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


def test_kerberos_is_a_keytab_and_the_domains_of_realms(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DomainsSettings().kerberos() is None
    monkeypatch.setenv("TRIPOST_DOMAINS_GSSAPI_KEYTAB", "/etc/smtp.keytab")
    monkeypatch.setenv("TRIPOST_DOMAINS_GSSAPI_REALMS", "DEST.EXAMPLE=Dest.example, SECOND=b\u00fccher.example")
    realms = {"DEST.EXAMPLE": "dest.example", "SECOND": "xn--bcher-kva.example"}
    assert DomainsSettings().kerberos() == (Path("/etc/smtp.keytab"), realms)


@pytest.mark.parametrize("realms", ["DEST.EXAMPLE", "=dest.example", "DEST.EXAMPLE=a b"])
def test_realms_that_are_none_are_named_with_their_setting(monkeypatch: pytest.MonkeyPatch, realms: str) -> None:
    monkeypatch.setenv("TRIPOST_DOMAINS_GSSAPI_REALMS", realms)
    with pytest.raises(ValidationError) as raised:
        DomainsSettings()
    assert explain(raised.value).startswith("TRIPOST_DOMAINS_GSSAPI_REALMS: accepted is REALM=domain")


@pytest.mark.parametrize(("name", "value"), [("KEYTAB", "/etc/smtp.keytab"), ("REALMS", "DEST.EXAMPLE=dest.example")])
def test_a_keytab_without_realms_or_the_other_way_round_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TRIPOST_DOMAINS_GSSAPI_{name}", value)
    with pytest.raises(SettingsError, match="go together"):
        DomainsSettings().kerberos()


def test_without_the_extra_a_keytab_is_refused_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with pytest.raises(SettingsError, match=r"needs the extra tripost-domains\[gssapi\]"):
        GssapiAcceptor(Path("/etc/smtp.keytab"))
