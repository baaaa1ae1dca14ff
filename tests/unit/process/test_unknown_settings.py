"""A misspelt setting is found, and the one that was meant."""

import pytest

from tripost_shared.unknown_settings import unknown_settings


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("TRIPOST_EDGE_PROXY_LISTNER", "TRIPOST_EDGE_PROXY_LISTENER"),
        ("TRIPOST_EGDE_WORKERS", "TRIPOST_EDGE_WORKERS"),
        ("TRIPOST_WORKERS", "TRIPOST_EDGE_WORKERS"),
        ("TRIPOST_DNS_SERVER", "TRIPOST_DNS_SERVERS"),
        ("TRIPOST_LOGLEVEL", "TRIPOST_LOG_LEVEL"),
        ("TRIPOST_BANANA", ""),
    ],
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one(misspelt: str, meant: str) -> None:
    assert unknown_settings({misspelt: "1"}) == {misspelt: meant}


def test_settings_and_what_is_not_ours_are_not_told() -> None:
    assert unknown_settings({"PATH": "/bin", "TRIPOST_HOME": "var", "TRIPOST_API_URL": "x", "XTRIPOST_A": "1"}) == {}


def test_what_kubernetes_tells_of_a_service_is_no_misspelt_setting() -> None:
    """Of a Service `tripost-nats` with the port `client`, where enableServiceLinks was left on."""
    links = {
        "TRIPOST_NATS_SERVICE_HOST": "192.0.2.10",
        "TRIPOST_NATS_SERVICE_PORT": "4222",
        "TRIPOST_NATS_SERVICE_PORT_CLIENT": "4222",
        "TRIPOST_NATS_PORT": "tcp://192.0.2.10:4222",
        "TRIPOST_NATS_PORT_4222_TCP": "tcp://192.0.2.10:4222",
        "TRIPOST_NATS_PORT_4222_TCP_PROTO": "tcp",
        "TRIPOST_NATS_PORT_4222_TCP_PORT": "4222",
        "TRIPOST_NATS_PORT_4222_TCP_ADDR": "192.0.2.10",
    }
    assert unknown_settings(links) == {}
    assert unknown_settings({"TRIPOST_NATS_PORT": "4222"}) != {}
