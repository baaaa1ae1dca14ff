"""Ports are looked at before anything starts."""

import socket
from collections.abc import Iterator

import pytest

from tripost_embedded.ports import (
    ADMIN,
    FOR_CLIENTS,
    FOR_HEALTH,
    MX,
    NATS,
    PROXY,
    SUBMISSION,
    check_free,
    health_of_further_workers,
    places,
)
from tripost_shared.settings import Listen, SettingsError


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port_number() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_in_use_is_named_with_the_setting_that_changes_it(taken_port: int) -> None:
    with pytest.raises(SettingsError, match=f"port {taken_port} on 127.0.0.1 is in use.*set TRIPOST_EDGE_MX_LISTEN"):
        check_free([(MX, Listen(f"127.0.0.1:{taken_port}"))])


def test_all_ports_in_use_are_named_at_once(taken_port: int) -> None:
    with pytest.raises(SettingsError) as caught:
        check_free([(NATS, Listen(f"127.0.0.1:{taken_port}")), (ADMIN, Listen("192.0.2.1:1"))])
    assert "TRIPOST_CLUSTER_NATS_PORT" in str(caught.value)
    assert "TRIPOST_ADMIN_LISTEN" in str(caught.value)


def test_two_listeners_on_one_address_are_found(free_port_number: int) -> None:
    address = Listen(f"127.0.0.1:{free_port_number}")
    with pytest.raises(SettingsError, match=f"both say {address}"):
        check_free([(MX, address), (SUBMISSION, address)])


def test_free_ports_pass(free_port_number: int) -> None:
    check_free([(MX, Listen(f"127.0.0.1:{free_port_number}"))])


def test_listeners_that_are_off_have_no_place() -> None:
    assert places([MX, PROXY], {}) == [(MX, Listen("127.0.0.1:2525"))]
    assert places([MX, PROXY], {"TRIPOST_EDGE_MX_LISTEN": ""}) == []


def test_an_address_that_makes_no_sense_is_named_by_its_setting() -> None:
    with pytest.raises(SettingsError, match=r"TRIPOST_EDGE_MX_LISTEN: .*2525"):
        places([MX], {"TRIPOST_EDGE_MX_LISTEN": "localhost"})


def test_further_workers_of_edge_have_health_addresses_that_no_other_service_uses() -> None:
    """By default, and for as many as there may be."""
    environment = {"TRIPOST_EDGE_WORKERS": "256"}
    every = [*places([*FOR_CLIENTS, *FOR_HEALTH], environment), *health_of_further_workers(environment)]
    addresses = [address for _, address in every]
    assert len(addresses) == len(FOR_HEALTH) + len(FOR_CLIENTS) - 1 + 255  # one is off
    assert len(set(addresses)) == len(addresses)


def test_further_workers_are_beside_the_first_one_wherever_that_is() -> None:
    environment = {"TRIPOST_EDGE_WORKERS": "3", "TRIPOST_EDGE_HEALTH_LISTEN": "[::1]:9300"}
    assert [address for _, address in health_of_further_workers(environment)] == ["[::1]:9310", "[::1]:9320"]


def test_a_health_address_without_room_for_all_workers_is_named() -> None:
    environment = {"TRIPOST_EDGE_WORKERS": "2", "TRIPOST_EDGE_HEALTH_LISTEN": "127.0.0.1:65530"}
    with pytest.raises(SettingsError, match=r"TRIPOST_EDGE_HEALTH_LISTEN: 127\.0\.0\.1:65530: .* no port 65540"):
        health_of_further_workers(environment)


@pytest.mark.parametrize("workers", [None, "1", "257", "²", "two", ""])
def test_without_further_workers_there_are_none_of_their_addresses(workers: str | None) -> None:
    """Edge itself refuses what is no number of workers, in its own words."""
    environment = {} if workers is None else {"TRIPOST_EDGE_WORKERS": workers}
    assert health_of_further_workers(environment) == []
