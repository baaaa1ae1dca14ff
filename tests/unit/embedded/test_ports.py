"""Ports are looked at before anything starts."""

import socket
from collections.abc import Iterator

import pytest

from tripost_embedded.ports import ADMIN, MX, PROXY, SUBMISSION, check_free, nats_listener
from tripost_shared.settings import SettingsError


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
        check_free([MX], {"TRIPOST_EDGE_MX_LISTEN": f"127.0.0.1:{taken_port}"})


def test_all_ports_in_use_are_named_at_once(taken_port: int) -> None:
    environment = {"TRIPOST_EDGE_MX_LISTEN": f"127.0.0.1:{taken_port}"}
    with pytest.raises(SettingsError) as caught:
        check_free([MX, nats_listener(taken_port + 0), ADMIN], environment | {"TRIPOST_ADMIN_LISTEN": "192.0.2.1:1"})
    assert "TRIPOST_EDGE_MX_LISTEN" in str(caught.value)
    assert "TRIPOST_CLUSTER_NATS_PORT" in str(caught.value)
    assert "TRIPOST_ADMIN_LISTEN" in str(caught.value)


def test_two_listeners_on_one_address_are_found(free_port_number: int) -> None:
    address = f"127.0.0.1:{free_port_number}"
    with pytest.raises(SettingsError, match=f"both say {address}"):
        check_free([MX, SUBMISSION], {"TRIPOST_EDGE_MX_LISTEN": address, "TRIPOST_EDGE_SUBMISSION_LISTEN": address})


def test_free_ports_and_listeners_that_are_off_pass(free_port_number: int) -> None:
    check_free([MX, PROXY], {"TRIPOST_EDGE_MX_LISTEN": f"127.0.0.1:{free_port_number}"})


def test_an_address_that_makes_no_sense_is_named_by_its_setting() -> None:
    with pytest.raises(SettingsError, match=r"TRIPOST_EDGE_MX_LISTEN: .*2525"):
        check_free([MX], {"TRIPOST_EDGE_MX_LISTEN": "localhost"})
