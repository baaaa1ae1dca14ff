"""Which addresses mail goes to when no administrator has named them. Nothing is dialled."""

from ipaddress import ip_address, ip_network

import pytest

from tripost_domains.delivery.relay.reach import Reach


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("8.8.8.8", id="IPv4"),
        pytest.param("172.32.0.1", id="just above a private network"),
        pytest.param("2600::1", id="IPv6"),
        pytest.param("::ffff:8.8.8.8", id="mapped"),
        pytest.param("64:ff9b::8.8.8.8", id="NAT64"),
        pytest.param("2002:808:808::1", id="6to4"),
    ],
)
def test_a_global_address_is_taken(address: str) -> None:
    assert Reach().covers(ip_address(address))


NOT_GLOBAL = [
    pytest.param("10.0.0.1", id="private"),
    pytest.param("172.16.0.1", id="private, too"),
    pytest.param("192.168.1.1", id="private at home"),
    pytest.param("100.64.0.1", id="shared"),
    pytest.param("169.254.169.254", id="link-local"),
    pytest.param("192.0.0.8", id="protocol assignments"),
    pytest.param("192.0.2.1", id="documentation"),
    pytest.param("192.88.99.1", id="6to4 relays"),
    pytest.param("198.18.0.1", id="benchmarks"),
    pytest.param("240.0.0.1", id="reserved"),
    pytest.param("255.255.255.255", id="broadcast"),
    pytest.param("fe80::1", id="IPv6 link-local"),
    pytest.param("fec0::1", id="IPv6 site-local"),
    pytest.param("fd00::1", id="IPv6 unique local"),
    pytest.param("2001:db8::1", id="IPv6 documentation"),
    pytest.param("3fff::1", id="IPv6 documentation, too"),
    pytest.param("2001:0:a00:1::1", id="Teredo"),
    pytest.param("100::1", id="IPv6 discard"),
    pytest.param("5f00::1", id="IPv6 segment routing"),
    pytest.param("64:ff9b:1::1", id="local NAT64"),
    pytest.param("::a00:1", id="IPv4-compatible"),
    pytest.param("::ffff:10.0.0.1", id="mapped private"),
    pytest.param("64:ff9b::a00:1", id="NAT64 of a private one"),
    pytest.param("2002:a00:1::1", id="6to4 of a private one"),
]
NEVER = [
    pytest.param("0.0.0.0", id="unspecified"),
    pytest.param("::", id="IPv6 unspecified"),
    pytest.param("::ffff:0.0.0.0", id="mapped unspecified"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("ff02::1", id="IPv6 multicast"),
    pytest.param("64:ff9b::224.0.0.1", id="NAT64 of multicast"),
]
THIS_MACHINE = [
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("127.9.9.9", id="loopback, too"),
    pytest.param("::1", id="IPv6 loopback"),
    pytest.param("::ffff:127.0.0.1", id="mapped loopback"),
    pytest.param("64:ff9b::127.0.0.1", id="NAT64 of loopback"),
]
EVERYWHERE = [ip_network("0.0.0.0/0"), ip_network("::/0")]


@pytest.mark.parametrize("address", [*NOT_GLOBAL, *NEVER, *THIS_MACHINE])
def test_what_is_not_globally_reachable_is_refused(address: str) -> None:
    assert not Reach().covers(ip_address(address))


@pytest.mark.parametrize("address", NOT_GLOBAL)
def test_networks_can_be_added(address: str) -> None:
    assert Reach(EVERYWHERE).covers(ip_address(address))


def test_an_added_network_is_no_more_than_that() -> None:
    reach = Reach([ip_network("10.1.0.0/16")])
    assert reach.covers(ip_address("10.1.2.3"))
    assert reach.covers(ip_address("::ffff:10.1.2.3"))
    assert not reach.covers(ip_address("10.2.0.1"))


@pytest.mark.parametrize("address", [*NEVER, *THIS_MACHINE])
def test_no_network_adds_what_is_nobody_s_or_this_machine(address: str) -> None:
    assert not Reach(EVERYWHERE).covers(ip_address(address))


@pytest.mark.parametrize("address", THIS_MACHINE)
def test_this_machine_is_taken_where_a_setting_says_so(address: str) -> None:
    assert Reach(loopback=True).covers(ip_address(address))


@pytest.mark.parametrize("address", [*NOT_GLOBAL, *NEVER])
def test_this_machine_is_nothing_else(address: str) -> None:
    assert not Reach(loopback=True).covers(ip_address(address))
