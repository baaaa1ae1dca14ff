"""Who is under which ban, and what is remembered of bans that have ended."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tripost_edge.firewall.bans import HEARD_COUNTS_SECONDS, BanTable, one_clients_network
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.bans import Ban, ban_key, ban_name, banned_network

MINUTE = timedelta(minutes=1)


def a_ban(clock: FrozenClock, network: str, *, minutes: int = 1) -> Ban:
    return Ban(network, "abuse", clock.now(), clock.now() + minutes * MINUTE, "ann")


@pytest.mark.parametrize(
    ("text", "name", "key"),
    [
        pytest.param("192.0.2.7", "192.0.2.7", "v4.c0000207.32", id="an IPv4 address"),
        pytest.param("192.0.2.7/24", "192.0.2.0/24", "v4.c0000200.24", id="an IPv4 network"),
        pytest.param("::ffff:192.0.2.7", "192.0.2.7", "v4.c0000207.32", id="an IPv4-mapped address"),
        pytest.param("2001:db8::7", "2001:db8::/64", f"v6.20010db8{'0' * 24}.64", id="an IPv6 address"),
        pytest.param("2001:db8::/32", "2001:db8::/32", f"v6.20010db8{'0' * 24}.32", id="an IPv6 network"),
    ],
)
def test_what_is_banned_has_one_name_and_one_key(text: str, name: str, key: str) -> None:
    network = banned_network(text)
    assert (ban_name(network), ban_key(network)) == (name, key)
    assert banned_network(name) == network


@pytest.mark.parametrize("text", ["0.0.0.0/0", "192.0.0.0/7", "::/0", "2000::/15", "fe80::1%eth0", "here", ""])
def test_no_more_is_banned_than_networks_of_clients(text: str) -> None:
    with pytest.raises(ValueError, match=r"too much of the Internet|zone|does not appear"):
        banned_network(text)


def test_a_client_is_banned_by_its_address_and_by_every_network_that_it_is_in(clock: FrozenClock) -> None:
    table = BanTable()
    for network in ("192.0.2.7", "198.51.100.0/24", "2001:db8:0:1::/64"):
        table.hear(a_ban(clock, network), clock.monotonic())
    for address in ("192.0.2.7", "198.51.100.0", "198.51.100.255", "2001:db8:0:1::", "2001:db8:0:1:ffff::1"):
        assert table.holding(address, clock.now()) is not None
    for address in ("192.0.2.6", "192.0.2.8", "198.51.101.0", "2001:db8:0:2::", "2001:db8::1", "::c000:207"):
        assert table.holding(address, clock.now()) is None


def test_a_ban_ends_at_its_very_moment_and_the_longest_counts(clock: FrozenClock) -> None:
    table = BanTable()
    table.hear(a_ban(clock, "192.0.2.7", minutes=1), clock.monotonic())
    longer = a_ban(clock, "192.0.2.0/24", minutes=2)
    table.hear(longer, clock.monotonic())
    assert table.holding("192.0.2.7", clock.now()) == longer
    clock.advance(MINUTE)
    assert table.in_force(clock.now()) == 1
    clock.advance(MINUTE - timedelta(microseconds=1))
    assert table.holding("192.0.2.7", clock.now()) == longer
    clock.advance(timedelta(microseconds=1))
    assert table.holding("192.0.2.7", clock.now()) is None
    assert table.entry("192.0.2.7") is not None, "what has ended makes the next one longer"


def test_an_automatic_ban_that_ends_later_covers_no_other_from_a_login(clock: FrozenClock) -> None:
    table = BanTable()
    by_ann = a_ban(clock, "192.0.2.0/24", minutes=1)
    automatic = replace(a_ban(clock, "192.0.2.7", minutes=2), by="edge a")
    for ban in (by_ann, automatic):
        table.hear(ban, clock.monotonic())
    assert table.holding("192.0.2.7", clock.now()) == automatic
    assert table.holding("192.0.2.7", clock.now(), has_login=True) == by_ann
    clock.advance(MINUTE)
    assert table.holding("192.0.2.7", clock.now(), has_login=True) is None


def test_what_was_just_heard_survives_a_reading_that_knows_it_not_yet(clock: FrozenClock) -> None:
    table = BanTable()
    stored = a_ban(clock, "192.0.2.7")
    table.hear(stored, clock.monotonic())
    lifted = stored.lifted_at(clock.now())
    table.hear(lifted, clock.monotonic())
    table.replace([stored], clock.monotonic())
    assert table.holding("192.0.2.7", clock.now()) is None
    clock.advance(timedelta(seconds=HEARD_COUNTS_SECONDS))
    table.replace([stored], clock.monotonic())
    assert table.holding("192.0.2.7", clock.now()) == stored
    table.replace([], clock.monotonic())
    assert (len(table), table.holding("192.0.2.7", clock.now())) == (0, None)


def test_sessions_look_again_only_after_a_change(clock: FrozenClock) -> None:
    table = BanTable()
    table.replace([stored := a_ban(clock, "192.0.2.7")], clock.monotonic())
    known = table.generation
    table.replace([stored], clock.monotonic())
    assert table.generation == known
    table.hear(a_ban(clock, "192.0.2.8"), clock.monotonic())
    assert table.generation > known


def test_there_are_no_more_than_the_bound(clock: FrozenClock) -> None:
    table = BanTable(most=2)
    for last in range(3):
        table.hear(a_ban(clock, f"192.0.2.{last}"), clock.monotonic())
    assert (len(table), table.is_full) == (2, True)
    table.hear(changed := a_ban(clock, "192.0.2.1", minutes=5), clock.monotonic())
    assert table.holding("192.0.2.1", clock.now()) == changed


def test_one_clients_network_is_an_ipv4_address_or_the_first_half_of_ipv6() -> None:
    assert one_clients_network("192.0.2.7") == "192.0.2.7"
    assert one_clients_network("2001:db8:0:1:2::7") == "2001:db8:0:1::/64"
