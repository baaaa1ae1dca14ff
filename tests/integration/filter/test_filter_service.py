"""The filter service as edge meets it: over a real nats-server, with real DNS on loopback."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from config_publisher import KvConfigPublisher
from dns_server import DnsServer
from links import PARTITIONS, SMALL, provisioned_link
from servers import NatsServer
from tripost_filter.app import FilterService
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.port import NoAnswer
from tripost_shared.config.kv import PREFIX
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.config import FILTER_KEY, DnsblZone, FilterConfig, GreylistPolicy, PolicyMode
from tripost_shared.contracts.filter import (
    CONNECTION,
    MESSAGE,
    RECIPIENTS,
    Action,
    ConnectionQuestion,
    Finding,
    MessageQuestion,
    RecipientsQuestion,
    Verdict,
)
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.provision import provision
from tripost_shared.settings import CommonSettings
from unit.filter.mails import LETTER, STRANGER
from unit.filter.signing import key_record, rsa_key, signed

RECORDS = (
    "sender.example TXT v=spf1 ip4:192.0.2.0/24 -all",
    "fresh.example 0 TXT v=spf1 a mx -all",
    "fresh.example 0 A 198.51.100.1",
    "fresh.example 0 MX 10 mx.fresh.example",
    "mx.fresh.example 0 A 192.0.2.7",
    "66.2.0.192.bl.example A 127.0.0.2",
    "7.2.0.192.in-addr.arpa PTR mail.sender.example",
    "mail.sender.example A 192.0.2.7",
    f"sel._domainkey.sender.example TXT {key_record(rsa_key())}",
)
CONFIG = FilterConfig(revision=1, dnsbl_zones=(DnsblZone("bl.example"),), greylist=GreylistPolicy(delay_seconds=0))
ENVELOPE = Envelope("ann@sender.example", (Recipient("bob@dest.example"),))


class Edge:
    """What edge asks."""

    def __init__(self, link: NatsLink) -> None:
        self.link = link
        self.bus = NatsBus(link)

    async def connection(self, client: Client = STRANGER) -> Verdict:
        return await self.bus.ask(CONNECTION, ConnectionQuestion("1", client))

    async def recipient(self, reverse_path: str = "ann@sender.example") -> Verdict:
        question = RecipientsQuestion("1.1", STRANGER, reverse_path, ("bob@dest.example",))
        return (await self.bus.ask(RECIPIENTS, question)).verdicts[0]

    async def message(self, content: Content, findings: tuple[Finding, ...] = ()) -> Verdict:
        return await self.bus.ask(MESSAGE, MessageQuestion("1.1", STRANGER, ENVELOPE, content, findings))

    async def configure(self, config: FilterConfig) -> None:
        await KvConfigPublisher(self.link).put(FILTER_KEY, config)


def settings_for(server: NatsServer, dns_server: str) -> CommonSettings:
    return CommonSettings(
        nats_url=server.url, spool_partitions=PARTITIONS, hostname="mx.dest.example", dns_servers=[dns_server]
    )


@asynccontextmanager
async def a_service(settings: CommonSettings) -> AsyncIterator[FilterService]:
    service = FilterService(settings)
    service.bind()
    try:
        async with asyncio.timeout(20):
            await service.start()
        yield service
        await service.drain()
    finally:
        await service.stop()


async def until(holds: Callable[[], Awaitable[bool]], within_seconds: float = 5.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within_seconds):
        while not await holds():  # noqa: ASYNC110 (what it waits for happens in other processes)
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _no_health(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_FILTER_HEALTH_LISTEN", "127.0.0.1:0")


@pytest.fixture
async def edge(nats_server: NatsServer) -> AsyncIterator[Edge]:
    async with provisioned_link(nats_server) as link:
        edge = Edge(link)
        await edge.configure(CONFIG)
        yield edge


@pytest.fixture
async def dns_server() -> AsyncIterator[DnsServer]:
    async with DnsServer(*RECORDS) as server:
        yield server


@pytest.fixture
async def service(nats_server: NatsServer, edge: Edge, dns_server: DnsServer) -> AsyncIterator[FilterService]:
    async with a_service(settings_for(nats_server, dns_server.address)) as service:
        yield service


def results(verdict: Verdict) -> dict[str, str]:
    return {finding.check: finding.result for finding in verdict.findings}


@pytest.mark.usefixtures("service")
async def test_a_message_is_judged_at_all_its_stages(edge: Edge) -> None:
    connection = await edge.connection()
    first, second = await edge.recipient(), await edge.recipient()
    message = await edge.message(Content.of(signed(LETTER)), (*connection.findings, *second.findings))
    assert results(connection) == {"dnsbl": "none", "reverse_dns": "pass"}
    assert (first.action, results(first)) == (Action.DEFER, {"spf": "pass", "greylist": "new"})
    assert (second.action, results(second)) == (Action.ACCEPT, {"spf": "pass", "greylist": "passed"})
    assert (message.action, results(message)["dkim"]) == (Action.ACCEPT, "pass")
    fields = message.header_fields.replace(b"\r\n\t", b" ")
    assert fields.startswith(
        b"Authentication-Results: mx.dest.example; iprev=pass policy.iprev=192.0.2.7 (mail.sender.example); spf=pass"
    )


async def test_nothing_is_judged_before_the_configuration_is_known(
    nats_server: NatsServer, edge: Edge, dns_server: DnsServer
) -> None:
    await jetstream.publish(edge.link, PREFIX + FILTER_KEY, b"{")
    service = FilterService(settings_for(nats_server, dns_server.address))
    service.bind()
    with capture_logs() as logs:
        starting = asyncio.create_task(service.start())

        async def waits() -> bool:
            return any(log["event"] == "waiting for configuration" for log in logs)

        await until(waits)
    assert not service.is_ready()
    with pytest.raises(NoAnswer):
        await edge.connection()
    await edge.configure(CONFIG)
    async with asyncio.timeout(20):
        await starting
    assert service.is_ready()
    assert (await edge.connection(Client("192.0.2.66"))).action is Action.REJECT
    await service.stop()


@pytest.mark.usefixtures("service")
async def test_a_listed_client_is_refused(edge: Edge) -> None:
    assert (await edge.connection(Client("192.0.2.66"))).action is Action.REJECT


@pytest.mark.usefixtures("service")
async def test_answers_with_ttl_0_serve_one_evaluation_and_no_other(edge: Edge, dns_server: DnsServer) -> None:
    assert results(await edge.recipient("ann@fresh.example"))["spf"] == "pass"
    assert set(dns_server.questions.values()) == {1}
    dns_server.replace("mx.fresh.example 0 A 198.51.100.2")
    verdict = await edge.recipient("ann@fresh.example")
    assert (results(verdict)["spf"], verdict.action) == ("fail", Action.REJECT)


@pytest.mark.usefixtures("service")
async def test_stored_content_is_examined(edge: Edge) -> None:
    writer = ObjectContentStore(edge.link).writer("1.1")
    await writer.write(signed(LETTER + b"x" * 60 + b"\r\n" * 300_000 + b"end\r\n"))
    verdict = await edge.message(await writer.commit())
    assert results(verdict)["dkim"] == "pass"


@pytest.mark.usefixtures("service")
async def test_a_change_of_the_configuration_is_in_force_within_seconds(edge: Edge) -> None:
    assert (await edge.connection(Client("192.0.2.66"))).action is Action.REJECT
    await edge.configure(FilterConfig(revision=2, mode=PolicyMode.MONITOR, dnsbl_zones=CONFIG.dnsbl_zones))

    async def monitors() -> bool:
        return (await edge.connection(Client("192.0.2.66"))).action is Action.ACCEPT

    await until(monitors, within_seconds=2)
    (status,) = await edge.bus.gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=0.2))
    assert (status.service, status.ready, status.config_revision) == ("filter", True, 2)
    assert status.details["mode"] == "monitor"


async def test_replicas_share_the_greylist(
    nats_server: NatsServer, edge: Edge, dns_server: DnsServer, service: FilterService
) -> None:
    first = await edge.recipient()
    await service.drain()
    async with a_service(settings_for(nats_server, dns_server.address)):
        assert [results(verdict)["greylist"] for verdict in (first, await edge.recipient())] == ["new", "passed"]


async def test_without_working_dns_it_answers_in_time_with_findings(nats_server: NatsServer, edge: Edge) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        settings = settings_for(nats_server, f"127.0.0.1:{silent.getsockname()[1]}")
        async with a_service(settings):
            started = time.monotonic()
            connection, recipient, message = await asyncio.gather(
                edge.connection(), edge.recipient(), edge.message(Content.of(signed(LETTER)))
            )
            seconds = time.monotonic() - started
            (status,) = await edge.bus.gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=0.2))
    assert seconds < 2.5  # 2 s of look-ups, and what two busy cores may add
    assert results(connection) == {"dnsbl": "no data", "reverse_dns": "temperror"}
    assert results(recipient) == {"spf": "temperror", "greylist": "new"}
    assert results(message)["dkim"] == "temperror"
    assert b"dkim=temperror" in message.header_fields
    assert {name for name in status.details if name.startswith("degraded.")} == {
        "degraded.dnsbl",
        "degraded.reverse_dns",
        "degraded.spf",
        "degraded.dkim",
    }


@pytest.mark.usefixtures("service")
async def test_a_policy_that_cannot_be_read_is_told_in_the_status(edge: Edge) -> None:
    await jetstream.publish(edge.link, PREFIX + FILTER_KEY, b"garbage")

    async def is_told() -> bool:
        (status,) = await edge.bus.gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=1))
        return status.troubles == ("configuration cannot be read, the last one stays in force: filter",)

    await until(is_told)


async def test_it_waits_for_the_streams_and_is_not_ready_before(nats_server: NatsServer) -> None:
    settings = settings_for(nats_server, "127.0.0.1:9")
    service = FilterService(settings)
    service.bind()
    starting = asyncio.create_task(service.start())
    link = await NatsLink.connect(settings, "test")
    try:
        assert not service.is_ready()
        await provision(link, settings, SMALL)
        async with asyncio.timeout(10):
            await starting
        assert service.is_ready()
    finally:
        starting.cancel()
        await service.stop()
        await link.close()
    async with provisioned_link(nats_server):
        pass  # deletes what was made


async def test_it_works_again_after_nats_was_away(dns_server: DnsServer) -> None:
    with NatsServer() as server:
        async with provisioned_link(server) as link:
            edge = Edge(link)
            await edge.configure(CONFIG)
            async with a_service(settings_for(server, dns_server.address)) as service:
                await edge.recipient()
                server.kill()

                async def is_away() -> bool:
                    return not service.is_ready()

                await until(is_away)
                server.start()

                async def is_back() -> bool:
                    return service.is_ready() and link.is_connected

                await until(is_back, within_seconds=15)
                assert results(await edge.recipient())["greylist"] == "passed"
