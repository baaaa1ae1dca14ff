"""Which listeners a node opens: the built-in ones of its settings, as the configuration has them, and others."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tripost_edge.listeners.wanted import Wanted, wanted_listeners
from tripost_edge.settings import EdgeSettings
from tripost_shared.contracts.listeners import (
    INTERMEDIATE_CIPHERS,
    ListenerConfig,
    ListenersConfig,
    TlsMinimum,
    TlsMode,
)
from tripost_shared.mail.client import ListenerKind
from tripost_shared.settings import Listen


def wanted(*listeners: ListenerConfig, **settings: Any) -> dict[str, Wanted]:
    return wanted_listeners(EdgeSettings(node="edge-0", **settings), ListenersConfig(1, listeners))


def test_without_configuration_they_are_those_of_the_settings() -> None:
    found = wanted(proxy_listener="127.0.0.1:2526", submission_listen="")
    assert {name: one.address for name, one in found.items()} == {
        "mx": "127.0.0.1:2525",
        "submissions": "127.0.0.1:2465",
        "proxy": "127.0.0.1:2526",
    }
    assert found["submissions"].profile.tls is TlsMode.IMPLICIT
    assert found["proxy"].profile.proxies is not None
    assert found["mx"].profile.tls_policy.ciphers == INTERMEDIATE_CIPHERS


def test_a_configured_one_overrides_all_but_what_it_leaves_to_the_setting() -> None:
    found = wanted(
        ListenerConfig("mx", kind=ListenerKind.INTERNAL, tls_minimum=TlsMinimum.TLS_1_3),
        ListenerConfig("submission", enabled=False),
        ListenerConfig("proxy"),
        proxy_listener="127.0.0.1:2526",
    )
    assert found["mx"].address == "127.0.0.1:2525"
    assert found["mx"].profile.kind is ListenerKind.INTERNAL
    assert found["mx"].profile.tls_policy.minimum is TlsMinimum.TLS_1_3
    assert "submission" not in found
    proxies = found["proxy"].profile.proxies
    assert proxies is not None
    assert proxies.contain("127.0.0.1")


def test_what_cannot_be_used_is_left_out_and_the_rest_holds() -> None:
    with capture_logs() as logs:
        found = wanted(
            ListenerConfig("broken", address="nowhere"),
            ListenerConfig("x", address="127.0.0.1:25", proxies=("no network",), ciphers=("NO-SUCH",)),
            ListenerConfig("elsewhere", address="127.0.0.1:26", nodes=("edge-1",)),
            ListenerConfig("proxy"),  # has no address by its setting
        )
    assert sorted(found) == ["mx", "submission", "submissions", "x"]
    assert [line["event"] for line in logs] == [
        "listener left out",
        "proxies left out: not in CIDR form",
        "ciphers left out: not known here",
    ]
    profile = found["x"].profile
    assert profile.tls_policy.ciphers == INTERMEDIATE_CIPHERS
    assert profile.proxies is not None, "it must not be open to everybody"
    assert not profile.proxies.contain("127.0.0.1")


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ("127.0.0.1:25", "127.0.0.1:25", True),
        ("0.0.0.0:25", "127.0.0.1:25", True),
        ("[::]:25", "[2001:db8::1]:25", True),
        ("[2001:db8::1]:25", "[2001:DB8:0::1]:25", True),
        ("127.0.0.1:25", "127.0.0.1:26", False),
        ("127.0.0.1:25", "127.0.0.2:25", False),
        ("[::]:25", "0.0.0.0:25", False),
    ],
)
def test_addresses_overlap_where_one_takes_the_others_clients(first: str, second: str, overlap: bool) -> None:
    assert Listen(first).overlaps(Listen(second)) is overlap
    assert Listen(second).overlaps(Listen(first)) is overlap
