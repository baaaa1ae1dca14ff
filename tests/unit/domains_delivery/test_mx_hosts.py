"""Which hosts a next hop means."""

import random
from ipaddress import ip_address, ip_network

import pytest

from tripost_domains.delivery.outcome import Result
from tripost_domains.delivery.relay.finder import MAX_HOSTS, HostFinder, NoHost
from tripost_domains.delivery.relay.reach import Reach
from tripost_domains.directory.model import HopKind, NextHop
from tripost_shared.dns.table import TableResolver

OURS = "mail.ours.example"


DOCUMENTATION = [ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")]  # taken here as if anybody could reach them


def finder(*records: str, reach: Reach | None = None) -> HostFinder:
    return HostFinder(
        TableResolver(*records),
        [OURS],
        [ip_address("192.0.2.99")],
        reach=reach or Reach(DOCUMENTATION),
        dice=random.Random(1),  # noqa: S311 (the same order each time)
    )


def mx(domain: str = "dest.example") -> NextHop:
    return NextHop(HopKind.MX, domain)


def smarthost(host: str) -> NextHop:
    return NextHop(HopKind.SMARTHOST, host, 2525)


async def addresses(hop: NextHop, *records: str, reach: Reach | None = None) -> list[str]:
    return [host.address for host in await finder(*records, reach=reach).find(hop)]


async def test_exchangers_are_tried_in_order_of_preference() -> None:
    found = await finder(
        "dest.example MX 20 backup.example",
        "dest.example MX 10 mx.example",
        "mx.example A 192.0.2.1",
        "mx.example AAAA 2001:db8::1",
        "backup.example A 192.0.2.2",
    ).find(mx())
    assert [str(host) for host in found] == [
        "mx.example[192.0.2.1]:25",
        "mx.example[2001:db8::1]:25",
        "backup.example[192.0.2.2]:25",
    ]


async def test_equal_exchangers_are_tried_in_any_order() -> None:
    records = [f"dest.example MX 10 mx{n}.example" for n in range(4)] + [
        f"mx{n}.example A 192.0.2.{n}" for n in range(4)
    ]
    hosts = finder(*records)
    orders = {tuple(host.address for host in await hosts.find(mx())) for _ in range(40)}
    assert len(orders) > 5


async def test_a_domain_without_mx_records_is_its_own_host() -> None:
    assert await addresses(mx(), "dest.example A 192.0.2.7") == ["192.0.2.7"]


@pytest.mark.parametrize(
    ("domain", "address"),
    [("[192.0.2.5]", "192.0.2.5"), ("[IPv6:2001:db8::5]", "2001:db8::5")],
)
async def test_an_address_literal_is_not_looked_up(domain: str, address: str) -> None:
    assert await addresses(mx(domain)) == [address]


@pytest.mark.parametrize(
    ("records", "result", "enhanced"),
    [
        pytest.param((), Result.FAILED, "5.1.2", id="no such domain"),
        pytest.param(("dest.example TXT x",), Result.FAILED, "5.1.2", id="a domain with neither MX nor address"),
        pytest.param(("dest.example MX 0 .",), Result.FAILED, "5.1.10", id="null MX"),
        pytest.param(("dest.example MX SERVFAIL",), Result.DEFERRED, "4.4.3", id="MX cannot be looked up"),
        pytest.param(
            ("dest.example MX 10 mx.example", "mx.example A TIMEOUT"), Result.DEFERRED, "4.4.3", id="no address now"
        ),
        pytest.param(("dest.example MX 10 gone.example",), Result.FAILED, "5.4.4", id="exchanger without address"),
        pytest.param((f"dest.example MX 10 {OURS}",), Result.FAILED, "5.4.6", id="we are the best exchanger"),
        pytest.param(
            ("dest.example MX 10 mx.example", "mx.example A 192.0.2.99"), Result.FAILED, "5.4.6", id="our own address"
        ),
        pytest.param(
            (
                "dest.example MX 10 mx.example",
                "dest.example MX 10 other.example",
                "mx.example A 192.0.2.99",
                "other.example A 192.0.2.1",
            ),
            Result.FAILED,
            "5.4.6",
            id="our own address among equals",
        ),
        pytest.param(
            (
                "dest.example MX 10 mx.example",
                "dest.example MX 20 ours.example",
                "mx.example A TIMEOUT",
                "ours.example A 192.0.2.99",
            ),
            Result.DEFERRED,
            "4.4.3",
            id="our own address below one that cannot be looked up",
        ),
        pytest.param(
            ("dest.example MX 10 mx.example", "mx.example AAAA ::ffff:192.0.2.99"),
            Result.FAILED,
            "5.4.6",
            id="our own address, mapped",
        ),
        pytest.param(
            ("dest.example MX 10 mx.example", "mx.example A 127.0.0.1", "mx.example AAAA fd00::1"),
            Result.FAILED,
            "5.4.4",
            id="no address that anybody could reach",
        ),
        pytest.param(
            ("dest.example MX 10 mx.example", "mx.example A 10.0.0.1", "mx.example AAAA SERVFAIL"),
            Result.DEFERRED,
            "4.4.3",
            id="such an address, and others that cannot be looked up now",
        ),
    ],
)
async def test_there_may_be_no_host(records: tuple[str, ...], result: Result, enhanced: str) -> None:
    with pytest.raises(NoHost) as caught:
        await finder(*records).find(mx())
    assert (caught.value.outcome.result, caught.value.outcome.reply.enhanced) == (result, enhanced)


async def test_a_null_mx_beside_others_is_ignored() -> None:
    """RFC 7505 §3 wants it alone; others then show a mistake."""
    records = ("dest.example MX 0 .", "dest.example MX 10 mx.example", "mx.example A 192.0.2.1")
    assert await addresses(mx(), *records) == ["192.0.2.1"]


async def test_exchangers_not_better_than_ourselves_are_left_out() -> None:
    """RFC 5321 §5.1: otherwise mail would go round."""
    records = (
        "dest.example MX 5 best.example",
        f"dest.example MX 10 {OURS}",
        "dest.example MX 10 equal.example",
        "dest.example MX 20 worse.example",
        "best.example A 192.0.2.1",
        "equal.example A 192.0.2.2",
        "worse.example A 192.0.2.3",
    )
    assert await addresses(mx(), *records) == ["192.0.2.1"]


async def test_no_more_hosts_are_tried_than_an_attempt_is_worth() -> None:
    records = ["dest.example MX 10 mx.example"] + [f"mx.example A 192.0.2.{n}" for n in range(1, 20)]
    assert len(await addresses(mx(), *records)) == MAX_HOSTS


@pytest.mark.parametrize("host", ["127.0.0.1", "[127.0.0.1]", "::1", "[IPv6:::1]", "localhost"])
async def test_a_smarthost_may_be_this_machine(host: str) -> None:
    """It is an administrator's choice, not that of whoever writes MX records."""
    found = await finder().find(smarthost(host))
    assert found[0].address in {"127.0.0.1", "::1"}
    assert found[0].port == 2525


@pytest.mark.parametrize("record", ["other.example A 192.0.2.1", "relay.example A SERVFAIL"])
async def test_a_smarthost_without_address_is_a_deferral(record: str) -> None:
    with pytest.raises(NoHost) as caught:
        await finder(record).find(smarthost("relay.example"))
    assert caught.value.outcome.result is Result.DEFERRED


async def test_an_address_that_not_everybody_can_reach_is_left_out() -> None:
    records = ("dest.example MX 10 mx.example", "mx.example A 10.0.0.1", "mx.example A 192.0.2.1")
    assert await addresses(mx(), *records) == ["192.0.2.1"]


async def test_exchangers_may_be_where_settings_say_so() -> None:
    reach = Reach([ip_network("10.0.0.0/8")], loopback=True)
    records = ("dest.example MX 10 mx.example", "mx.example A 127.0.0.1", "mx.example A 10.0.0.1")
    assert await addresses(mx(), *records, reach=reach) == ["127.0.0.1", "10.0.0.1"]


@pytest.mark.parametrize("domain", ["[10.0.0.1]", "[127.0.0.1]", "[IPv6:fe80::1]", "[IPv6:::ffff:a00:1]", "[0.0.0.0]"])
async def test_an_address_literal_leads_to_no_address_that_not_everybody_can_reach(domain: str) -> None:
    """Any client that may relay chooses it."""
    with pytest.raises(NoHost) as caught:
        await addresses(mx(domain))
    assert (caught.value.outcome.result, caught.value.outcome.reply.enhanced) == (Result.FAILED, "5.4.4")
    assert domain.strip("[]").removeprefix("IPv6:") in caught.value.outcome.detail


async def test_an_address_literal_of_ours_is_a_loop() -> None:
    with pytest.raises(NoHost) as caught:
        await addresses(mx("[192.0.2.99]"))
    assert caught.value.outcome.reply.enhanced == "5.4.6"


@pytest.mark.parametrize("host", ["10.0.0.1", "[IPv6:fd00::1]", "relay.example"])
async def test_a_smarthost_may_be_anywhere(host: str) -> None:
    assert await addresses(smarthost(host), "relay.example A 10.0.0.1") in (["10.0.0.1"], ["fd00::1"])


async def test_a_name_that_is_listed_twice_counts_where_it_is_better() -> None:
    records = ("dest.example MX 20 mx.example", "dest.example MX 10 mx.example", f"dest.example MX 15 {OURS}")
    assert await addresses(mx(), *records, "mx.example A 192.0.2.1") == ["192.0.2.1"]
