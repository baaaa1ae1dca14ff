"""The reverse DNS check ("iprev", RFC 8601 §2.7.3)."""

import pytest

from tripost_filter.check import MustWait
from tripost_filter.checks.reverse_dns import MAX_EVIDENCE_CHARACTERS, ReverseDns
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.host_names import MOST_NAMES, host_names
from tripost_shared.dns.port import Resolver
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.client import Client
from unit.filter.mails import LOGGED_IN, STRANGER, CachedTable, SilentResolver, a_mail

REVERSE = "7.2.0.192.in-addr.arpa"
NAMED = (f"{REVERSE} PTR mail.sender.example", "mail.sender.example A 192.0.2.7")
PASS = Finding("reverse_dns", "pass", evidence={"name": "mail.sender.example"})


def a_check(resolver: Resolver) -> ReverseDns:
    return ReverseDns(resolver, FrozenClock())


async def found(*records: str, client: Client = STRANGER) -> Finding:
    finding = await a_check(TableResolver(*records)).examine(a_mail(client))
    assert a_check(CachedTable(*records)).examine_at_once(a_mail(client)) == finding
    assert finding is not None
    assert (finding.score, finding.refuse_with) == (0, None), "honest mail comes from hosts without a name, too"
    return finding


async def test_a_name_that_leads_back_to_its_address_is_the_client_s() -> None:
    assert await found(*NAMED) == PASS


async def test_one_of_the_name_s_addresses_is_enough() -> None:
    records = (NAMED[0], "mail.sender.example A 198.51.100.1", NAMED[1])
    assert await found(*records) == PASS


async def test_ipv6_clients_are_looked_up() -> None:
    reverse = f"7{'.0' * 23}.8.b.d.0.1.0.0.2.ip6.arpa"
    records = (f"{reverse} PTR mail.sender.example", "mail.sender.example AAAA 2001:db8:0:0::7")
    assert await found(*records, client=Client("2001:db8::7")) == PASS


async def test_a_delegated_reverse_zone_is_followed() -> None:
    """RFC 2317: of a network smaller than /24 each name is an alias."""
    assert await found(
        f"{REVERSE} CNAME 7.0/28.{REVERSE[2:]}", f"7.0/28.{REVERSE[2:]} PTR mail.sender.example", NAMED[1]
    )


async def test_the_first_name_that_leads_back_counts() -> None:
    records = [f"{REVERSE} PTR other.example", *NAMED, f"{REVERSE} PTR alias.example", "alias.example A 192.0.2.7"]
    assert await found(*records) == PASS


@pytest.mark.parametrize("status", ["NXDOMAIN", "NODATA"])
async def test_an_address_without_a_name_is_a_permanent_error(status: str) -> None:
    finding = await found(f"{REVERSE} PTR {status}")
    assert (finding.result, finding.degraded, finding.evidence) == ("permerror", False, {})


@pytest.mark.parametrize(
    "forward",
    [
        pytest.param("mail.sender.example A 198.51.100.1", id="another address"),
        pytest.param("mail.sender.example A NXDOMAIN", id="no such name"),
        pytest.param("mail.sender.example AAAA ::ffff:192.0.2.7", id="the address as IPv6"),
    ],
)
async def test_a_name_that_does_not_lead_back_fails(forward: str) -> None:
    finding = await found(NAMED[0], forward)
    assert (finding.result, finding.degraded) == ("fail", False)
    assert finding.evidence == {"names": "mail.sender.example"}


@pytest.mark.parametrize("trouble", ["SERVFAIL", "TIMEOUT", "GARBAGE"])
@pytest.mark.parametrize("where", ["reverse", "forward"])
async def test_dns_that_does_not_say_is_a_temporary_error(trouble: str, where: str) -> None:
    records = {
        "reverse": (f"{REVERSE} PTR {trouble}",),
        "forward": (NAMED[0], f"{REVERSE} PTR other.example", f"mail.sender.example A {trouble}"),
    }
    finding = await found(*records[where])
    assert (finding.result, finding.degraded) == ("temperror", True)
    assert finding.because


async def test_a_name_that_leads_back_stands_whatever_dns_says_of_others() -> None:
    assert await found(f"{REVERSE} PTR other.example", *NAMED, "other.example A SERVFAIL") == PASS


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("evil\r\nx-spam-flag:no.example", id="line end"),
        pytest.param("evil\\013\\010x.example", id="escaped line end, as the resolver gives it"),
        pytest.param("\x1b[2j.example", id="terminal control"),
        pytest.param("a)(b.example", id="comment"),
        pytest.param('"a;b".example', id="quoted"),
        pytest.param("a b.example", id="blank"),
        pytest.param("caf\u00e9.example", id="not ASCII"),
        pytest.param("192.0.2.7", id="an address"),
        pytest.param("-a.example", id="leading hyphen"),
        pytest.param("a-.example", id="trailing hyphen"),
        pytest.param("a..example", id="empty label"),
        pytest.param(f"{'a' * 64}.example", id="a label too long"),
        pytest.param("mail.example\n", id="a line end after it"),
        pytest.param(".", id="the root"),
    ],
)
async def test_what_is_no_host_name_goes_nowhere(name: str) -> None:
    """Not even into the trace: whoever owns an address may call it anything."""
    resolver = TableResolver(f"{REVERSE} PTR {name}", f"{name} A 192.0.2.7")
    finding = await a_check(resolver).examine(a_mail())
    assert finding == Finding("reverse_dns", "fail", because="no name of the address is a host name")
    assert list(resolver.questions) == [(REVERSE, "PTR")]


async def test_names_that_are_none_do_not_hide_one_that_is() -> None:
    assert await found(f"{REVERSE} PTR a)b.example", *NAMED) == PASS


@pytest.mark.parametrize("name", ["localhost", "a_b.example", "xn--caf-dma.example", "4.example", "a.b-c.3d", "a" * 63])
def test_these_are_host_names(name: str) -> None:
    assert host_names([name]) == [name]


async def test_of_an_address_with_hundreds_of_names_a_few_count() -> None:
    names = [f"{'n' * 60}{number}.example" for number in range(300)]
    resolver = TableResolver(*(f"{REVERSE} PTR {name}" for name in names))
    finding = await a_check(resolver).examine(a_mail())
    assert finding is not None
    assert len(resolver.questions) == 1 + MOST_NAMES
    assert len(finding.evidence["names"]) == MAX_EVIDENCE_CHARACTERS


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(LOGGED_IN, id="authenticated"),
        pytest.param(Client("192.0.2.7", relay_permitted=True), id="may relay"),
        pytest.param(Client(""), id="no address"),
    ],
)
async def test_our_own_clients_are_not_looked_up(client: Client) -> None:
    resolver = TableResolver(*NAMED)
    assert await a_check(resolver).examine(a_mail(client)) is None
    assert not resolver.questions


@pytest.mark.parametrize("announced", [False, True], ids=["direct", "announced by a proxy"])
async def test_clients_on_loopback_are_as_others(announced: bool) -> None:
    client = Client("127.0.0.1", announced_by_proxy=announced)
    records = ("1.0.0.127.in-addr.arpa PTR localhost", "localhost A 127.0.0.1")
    assert (await found(*records, client=client)).evidence == {"name": "localhost"}
    assert (await found(client=client)).result == "permerror"


async def test_both_look_ups_share_the_stage_s_deadline() -> None:
    clock = FrozenClock()
    resolver = SilentResolver(clock)
    finding = await ReverseDns(resolver, clock).examine(a_mail(look_up_until=clock.monotonic() + 2))
    assert finding is not None
    assert finding.result == "temperror"
    assert [within.total_seconds() for within in resolver.waited if within] == [2]


async def test_what_is_not_in_the_cache_must_be_waited_for() -> None:
    with pytest.raises(MustWait):
        a_check(TableResolver(*NAMED)).examine_at_once(a_mail())
