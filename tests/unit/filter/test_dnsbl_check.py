"""The block list check (RFC 5782)."""

from ipaddress import ip_address

import pytest

from tripost_filter.checks.dnsbl import LISTED, Dnsbl, reversed_labels
from tripost_filter.exemptions import Exemptions
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import DnsblZone
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.port import Resolver
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.client import Client
from unit.filter.mails import LOGGED_IN, STRANGER, CachedTable, SilentResolver, a_mail

ZONES = (DnsblZone("bl.example", score=4.0), DnsblZone("soft.example", score=1.5, refuse=False))
LISTED_IN_BL = "7.2.0.192.bl.example A 127.0.0.2"
LISTED_IN_SOFT = "7.2.0.192.soft.example A 127.0.0.9"


def a_check(resolver: Resolver) -> Dnsbl:
    return Dnsbl(ZONES, Exemptions(["127.0.0.0/8", "::1/128", "198.51.100.0/24"]), resolver, FrozenClock())


async def found(*records: str, client: Client = STRANGER) -> Finding | None:
    finding = await a_check(TableResolver(*records)).examine(a_mail(client))
    assert a_check(CachedTable(*records)).examine_at_once(a_mail(client)) == finding
    return finding


@pytest.mark.parametrize(
    ("address", "labels"),
    [
        ("192.0.2.7", "7.2.0.192"),
        ("2001:db8::7", "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"),
    ],
)
def test_labels_are_the_address_backwards(address: str, labels: str) -> None:
    assert reversed_labels(ip_address(address)) == labels


async def test_a_listing_refuses_and_says_where_and_what() -> None:
    finding = await found(LISTED_IN_BL)
    assert finding is not None
    assert (finding.result, finding.refuse_with, finding.score) == ("listed", LISTED, 4.0)
    assert finding.evidence == {"bl.example": "127.0.0.2"}


async def test_a_zone_that_must_not_refuse_only_scores() -> None:
    finding = await found(LISTED_IN_SOFT)
    assert finding is not None
    assert (finding.result, finding.refuse_with, finding.score) == ("listed", None, 1.5)


async def test_scores_of_several_zones_add_up() -> None:
    finding = await found(LISTED_IN_BL, LISTED_IN_SOFT)
    assert finding is not None
    assert (finding.score, finding.refuse_with) == (5.5, LISTED)


async def test_a_client_on_no_list_is_fine() -> None:
    assert await found() == Finding("dnsbl", "none")


async def test_ipv6_clients_are_looked_up() -> None:
    record = f"{reversed_labels(ip_address('2001:db8::7'))}.bl.example A 127.0.0.2"
    finding = await found(record, client=Client("2001:db8::7"))
    assert finding is not None
    assert finding.result == "listed"


@pytest.mark.parametrize("answer", ["127.255.255.254", "127.255.255.255", "192.0.2.99"])
async def test_answers_that_mean_trouble_are_no_listing(answer: str) -> None:
    finding = await found(f"7.2.0.192.bl.example A {answer}")
    assert finding is not None
    assert (finding.result, finding.degraded, finding.refuse_with) == ("no data", True, None)
    assert finding.evidence == {"bl.example": f"no data: {answer}"}


@pytest.mark.parametrize("client", [STRANGER, Client("2001:db8::7")], ids=["IPv4", "IPv6"])
async def test_a_zone_that_lists_every_address_is_no_listing(client: Client) -> None:
    """As lists do that were given up; 127.0.0.1 and ::FFFF:7F00:1 are what no list may list (RFC 5782 §5)."""
    never = "1.0.0.127" if client is STRANGER else f"1.0.0.0.0.0.f.7.f.f.f.f{'.0' * 20}"
    listed = f"{reversed_labels(ip_address(client.address))}.bl.example A 127.0.0.2"
    finding = await found(listed, f"{never}.bl.example A 127.0.0.2", client=client)
    assert finding is not None
    assert (finding.result, finding.degraded, finding.refuse_with, finding.score) == ("no data", True, None, 0)
    assert finding.evidence == {"bl.example": "no data: the zone lists every address"}


async def test_a_listing_stands_when_the_zone_does_not_say_whether_it_lists_every_address() -> None:
    finding = await found(LISTED_IN_BL, "1.0.0.127.bl.example A SERVFAIL")
    assert finding is not None
    assert (finding.result, finding.refuse_with) == ("listed", LISTED)


async def test_only_a_zone_that_lists_the_client_is_asked_whether_it_lists_every_address() -> None:
    resolver = TableResolver(LISTED_IN_BL)
    await a_check(resolver).examine(a_mail())
    assert sorted(name for name, _ in resolver.questions) == [
        "1.0.0.127.bl.example",
        "7.2.0.192.bl.example",
        "7.2.0.192.soft.example",
    ]


async def test_a_zone_that_does_not_answer_leaves_the_others_word_standing() -> None:
    finding = await found("7.2.0.192.bl.example A SERVFAIL", LISTED_IN_SOFT)
    assert finding is not None
    assert (finding.result, finding.degraded) == ("listed", False)
    assert finding.evidence == {"bl.example": "no data: SERVFAIL", "soft.example": "127.0.0.9"}


async def test_zones_are_asked_all_at_once() -> None:
    clock = FrozenClock()
    resolver = SilentResolver()
    check = Dnsbl(ZONES, Exemptions([]), resolver, clock)
    finding = await check.examine(a_mail(look_up_until=clock.monotonic() + 2))
    assert finding is not None
    assert finding.degraded
    assert [within.total_seconds() for within in resolver.waited if within] == [2, 2]


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(LOGGED_IN, id="authenticated"),
        pytest.param(Client("192.0.2.7", relay_permitted=True), id="may relay"),
        pytest.param(Client("127.0.0.1"), id="loopback"),
        pytest.param(Client("::1"), id="IPv6 loopback"),
        pytest.param(Client("198.51.100.3"), id="in an exempt network"),
        pytest.param(Client(""), id="no address"),
    ],
)
async def test_our_own_and_exempt_clients_are_not_looked_up(client: Client) -> None:
    resolver = TableResolver(LISTED_IN_BL)
    assert await a_check(resolver).examine(a_mail(client)) is None
    assert not resolver.questions


async def test_a_client_announced_by_a_proxy_is_never_on_loopback() -> None:
    assert await found(client=Client("127.0.0.1", announced_by_proxy=True)) == Finding("dnsbl", "none")
