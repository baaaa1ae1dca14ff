"""Which settings reach which service."""

import pytest

from tripost_embedded.environment import known_only, service_environment

OPERATORS = {
    "PATH": "/usr/bin",
    "TRIPOST_HOSTNAME": "mx.example",
    "TRIPOST_DATABASE_URL": "postgresql+asyncpg://tripost:secret@db.example/tripost",
    "TRIPOST_DATABASE_URL_FILE": "/run/secrets/database-url",
    "TRIPOST_EDGE_WORKERS": "2",
    "TRIPOST_ADMIN_LISTEN": "127.0.0.1:8443",
    "TRIPOST_CLUSTER_NATS_PORT": "4222",
}


@pytest.mark.parametrize("service", ["edge", "filter"])
def test_edge_and_filter_get_no_database_credentials(service: str) -> None:
    assert not [name for name in service_environment(service, OPERATORS, {}) if "DATABASE" in name]


@pytest.mark.parametrize("service", ["domains", "admin-api"])
def test_domains_and_admin_api_get_the_database(service: str) -> None:
    environment = service_environment(service, OPERATORS, {})
    assert environment["TRIPOST_DATABASE_URL"] == OPERATORS["TRIPOST_DATABASE_URL"]


def test_a_service_gets_what_all_share_and_its_own_settings_only() -> None:
    assert service_environment("edge", OPERATORS, {}) == {
        "PATH": "/usr/bin",
        "TRIPOST_HOSTNAME": "mx.example",
        "TRIPOST_EDGE_WORKERS": "2",
    }


def test_what_the_cluster_decides_wins() -> None:
    assert service_environment("edge", {"TRIPOST_HOME": "var"}, {"TRIPOST_HOME": "/srv/var"}) == {
        "TRIPOST_HOME": "/srv/var"
    }


def test_what_is_no_setting_reaches_no_service() -> None:
    assert known_only({"PATH": "/usr/bin", "TRIPOST_HOME": "var", "TRIPOST_EGDE_WORKERS": "2"}) == {
        "PATH": "/usr/bin",
        "TRIPOST_HOME": "var",
    }
