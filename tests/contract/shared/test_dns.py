"""One behaviour suite for resolvers: the zone table, and the caching resolver asking a real server with that table."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from dns_server import DnsServer
from tripost_shared.clock import FrozenClock
from tripost_shared.dns.port import Resolver, Status
from tripost_shared.dns.resolver import CachingResolver
from tripost_shared.dns.table import TableResolver

Over = Callable[..., Awaitable[Resolver]]

LONG_TEXT = "v=DKIM1; p=" + "A" * 400
DIGEST = "0f" * 32
VERY_LONG_TEXT = "v=DKIM1; p=" + "B" * 3000


@pytest.fixture(params=["table", "server"])
async def over(request: pytest.FixtureRequest, clock: FrozenClock) -> AsyncIterator[Over]:
    """Makes a resolver over a table of records."""
    servers: list[DnsServer] = []
    resolvers: list[CachingResolver] = []

    async def make(*records: str) -> Resolver:
        if request.param == "table":
            return TableResolver(*records)
        server = DnsServer(*records)
        await server.start()
        servers.append(server)
        resolver = CachingResolver([server.address], clock)
        await resolver.start()
        resolvers.append(resolver)
        return resolver

    yield make
    for resolver in resolvers:
        await resolver.close()
    for server in servers:
        await server.stop()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param("a.example A 192.0.2.1", "192.0.2.1", id="A"),
        pytest.param("a.example AAAA 2001:db8::1", "2001:db8::1", id="AAAA"),
        pytest.param("a.example TXT v=spf1 -all", "v=spf1 -all", id="TXT"),
        pytest.param(f"a.example TXT {LONG_TEXT}", LONG_TEXT, id="TXT of several strings"),
        pytest.param(f"a.example TXT {VERY_LONG_TEXT}", VERY_LONG_TEXT, id="TXT past what UDP carries"),
        pytest.param('a.example TXT caf\u00e9 "\\;', 'caf\u00e9 "\\;', id="TXT with octets past ASCII"),
        pytest.param("a.example MX 10 Mx.A.Example", "10 mx.a.example", id="MX"),
        pytest.param("a.example MX 0 .", "0 .", id="null MX"),
        pytest.param("7.2.0.192.in-addr.arpa PTR Mail.A.example.", "mail.a.example", id="PTR"),
        pytest.param("a.example NS NS.a.example", "ns.a.example", id="NS"),
        pytest.param("a.example CNAME B.example", "b.example", id="CNAME asked for itself"),
        pytest.param(f"_25._tcp.a.example TLSA 3 1 1 {DIGEST}", f"3 1 1 {DIGEST}", id="TLSA"),
    ],
)
async def test_records_become_text(over: Over, record: str, expected: str) -> None:
    name, record_type, _ = record.split(" ", 2)
    answer = await (await over(record)).resolve(name, record_type)
    assert (answer.status, answer.records) == (Status.FOUND, (expected,))
    assert answer.ttl_seconds == 300


async def test_mail_exchangers_come_by_preference(over: Over) -> None:
    resolver = await over("a.example MX 20 b.example", "a.example MX 5 d.example", "a.example MX 100 a.example")
    assert (await resolver.resolve("a.example", "MX")).records == ("5 d.example", "20 b.example", "100 a.example")


async def test_case_and_final_dot_of_the_name_do_not_matter(over: Over) -> None:
    resolver = await over("a.example A 192.0.2.1")
    assert (await resolver.resolve("A.Example.", "A")).status is Status.FOUND


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        ("SERVFAIL", Status.FAILED),
        ("REFUSED", Status.FAILED),
        ("TIMEOUT", Status.FAILED),
        ("GARBAGE", Status.FAILED),
        ("NXDOMAIN", Status.NO_NAME),
        ("NODATA", Status.NO_DATA),
    ],
)
async def test_troubles_are_told_apart(over: Over, trouble: str, status: Status) -> None:
    answer = await (await over(f"a.example A {trouble}")).resolve("a.example", "A")
    assert answer.status is status
    assert answer.records == ()
    assert bool(answer.because) == (status is Status.FAILED)


async def test_a_name_without_records_does_not_exist(over: Over) -> None:
    resolver = await over("a.example A 192.0.2.1")
    assert (await resolver.resolve("b.example", "A")).status is Status.NO_NAME
    assert (await resolver.resolve("a.example", "MX")).status is Status.NO_DATA


async def test_aliases_are_followed(over: Over) -> None:
    resolver = await over(
        "a.example CNAME B.example.",
        "b.example CNAME c.example",
        "c.example A 192.0.2.1",
        "dead.example CNAME nowhere.example",
        "bad.example CNAME worse.example",
        "worse.example A SERVFAIL",
    )
    assert (await resolver.resolve("a.example", "A")).records == ("192.0.2.1",)
    assert (await resolver.resolve("a.example", "TXT")).status is Status.NO_DATA
    assert (await resolver.resolve("dead.example", "A")).status is Status.NO_NAME
    assert (await resolver.resolve("bad.example", "A")).status is Status.FAILED


async def test_aliases_in_a_circle_fail(over: Over) -> None:
    resolver = await over("a.example CNAME b.example", "b.example CNAME a.example")
    assert (await resolver.resolve("a.example", "A")).status is Status.FAILED


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a..example",
        ".example",
        "b\u00fccher.example",
        "a\nb.example",
        "x" * 64 + ".example",
        "x." * 128,
    ],
)
async def test_names_that_cannot_exist_are_not_asked_for(over: Over, name: str) -> None:
    resolver = await over("a.example A 192.0.2.1")
    assert (await resolver.resolve(name, "A")).status is Status.NO_NAME
    if isinstance(resolver, TableResolver):
        assert not resolver.questions


@pytest.mark.parametrize("name", ["_dmarc.a.example", "a+b=c/d.a.example", "x" * 63 + ".example"])
async def test_odd_but_possible_names_are_asked_for(over: Over, name: str) -> None:
    resolver = await over(f"{name} A 192.0.2.1")
    assert (await resolver.resolve(name, "A")).status is Status.FOUND
