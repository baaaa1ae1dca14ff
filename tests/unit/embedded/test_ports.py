"""Ports are looked at before anything starts."""

import socket
from collections.abc import Iterator

import pytest

from tripost_embedded.ports import (
    ADMIN,
    FOR_HEALTH,
    MX,
    NATS,
    PROXY,
    SUBMISSION,
    check_free,
    health_of_further_workers,
    places,
    with_room_for_workers,
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
    environment = with_room_for_workers({"TRIPOST_EDGE_WORKERS": "3"})
    addresses = [address for _, address in [*places(FOR_HEALTH, environment), *health_of_further_workers(environment)]]
    assert len(set(addresses)) == 5


def test_the_operators_own_health_address_stays() -> None:
    environment = {"TRIPOST_EDGE_WORKERS": "2", "TRIPOST_EDGE_HEALTH_LISTEN": "127.0.0.1:9300"}
    assert with_room_for_workers(environment) == environment
    assert [address for _, address in health_of_further_workers(environment)] == ["127.0.0.1:9301"]


def test_one_worker_changes_nothing() -> None:
    assert with_room_for_workers({}) == {}
    assert health_of_further_workers({}) == []
