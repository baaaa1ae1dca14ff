"""Settings from the environment, and how a wrong one is told."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tripost_embedded.settings import ClusterSettings
from tripost_shared.settings import CommonSettings, DatabaseSettings, Listen, SettingsError, explain


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        pytest.param("192.0.2.1:25", "192.0.2.1", 25, id="IPv4"),
        pytest.param("[2001:db8::1]:25", "2001:db8::1", 25, id="IPv6 in brackets"),
        pytest.param("127.0.0.1:0", "127.0.0.1", 0, id="any port"),
    ],
)
def test_an_address_to_listen_on_is_read(text: str, host: str, port: int) -> None:
    listen = Listen.parse(text)
    assert (listen.host, listen.port) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "25",
        "localhost:25",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:²",
        "192.0.2.1:٢٥",
        "192.0.2.1:" + "9" * 5000,
        "300.0.0.1:1",
        "2001:db8::1:25",
        "[2001:db8::1:25",
        "2001:db8::1]:25",
        "[[2001:db8::1]]:25",
        "[192.0.2.1]:25",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not (address:port|an IPv4)"):
        Listen.parse(text)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_HOME", "")
    assert CommonSettings().home == Path("var")


def test_dns_servers_are_a_list_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_DNS_SERVERS", "127.0.0.1:5353, 127.0.0.2:5353,")
    assert CommonSettings().dns_servers == ["127.0.0.1:5353", "127.0.0.2:5353"]


def test_a_wrong_value_is_told_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_CLUSTER_NATS_PORT", "http")
    with pytest.raises(ValidationError) as caught:
        ClusterSettings()
    assert explain(caught.value).startswith("TRIPOST_CLUSTER_NATS_PORT: ")


def test_a_database_url_is_shown_to_nobody() -> None:
    settings = DatabaseSettings(database_url="postgresql+asyncpg://tripost:secret@db.example/tripost")
    assert "secret" not in repr(settings)
    assert "secret" in settings.url(Path("var"))


def test_without_a_database_url_it_is_sqlite_under_the_home(tmp_path: Path) -> None:
    assert DatabaseSettings().url(tmp_path) == f"sqlite+aiosqlite:///{tmp_path}/tripost.sqlite"


def test_a_password_file_that_cannot_be_read_is_told_without_its_content(tmp_path: Path) -> None:
    settings = CommonSettings(nats_password_file=tmp_path / "missing")
    with pytest.raises(SettingsError, match="TRIPOST_NATS_PASSWORD_FILE"):
        settings.nats_password()
