"""Each service may do on NATS what its task needs, and nothing else: on a real nats-server with the table in force."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config_publisher import KvConfigPublisher
from contents import read_all
from servers import NatsServer, free_port
from tripost_embedded.nats_config import nats_config
from tripost_shared.bans.kv import KvBans
from tripost_shared.bans.port import BansUnavailable
from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import encode
from tripost_shared.bus.jetstream import JetStreamUnavailable
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.permissions import SERVICES, permissions
from tripost_shared.bus.port import NoAnswer
from tripost_shared.bus.telling import NatsTelling
from tripost_shared.clock import SystemClock
from tripost_shared.config.kv import KvConfigSource
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.bans import Ban
from tripost_shared.contracts.config import FILTER_KEY, FilterConfig, PolicyMode
from tripost_shared.contracts.domains import RESOLVE, RecipientKind, ResolveAnswer, ResolveQuestion
from tripost_shared.contracts.edges import SESSIONS_SUBJECT, SessionsTold
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.filter import CONNECTION, Action, ConnectionQuestion, Verdict
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.counters.jetstream import JetStreamCounters
from tripost_shared.counters.jetstream_totals import JetStreamTotals
from tripost_shared.kv.jetstream import JetStreamBucket
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.provision import Sizes, provision, wait_until_provisioned
from tripost_shared.settings import CommonSettings
from tripost_shared.spool.jetstream import (
    UNREADABLE_SUBJECT,
    JetStreamEventLog,
    JetStreamEventReader,
    JetStreamSpool,
    JetStreamSpoolReader,
)
from tripost_shared.spool.parked import parked, retry

PARTITIONS = 2
SMALL = Sizes(16 << 20, 64 << 20, 16 << 20, 16 << 20, 16 << 20)
AT = datetime(2026, 1, 1, tzinfo=UTC)
WAIT = timedelta(seconds=5)
EIGHT_MB = 8 << 20
Links = dict[str, NatsLink]


def password_of(service: str) -> str:
    return f"password-of-{service}"


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    passwords = {service: password_of(service) for service in SERVICES}
    config = json.loads(nats_config(free_port(), Path("unused"), passwords, permissions()))
    with NatsServer(extra=f"authorization: {json.dumps(config['authorization'])}") as server:
        yield server


@pytest.fixture
async def links(server: NatsServer, tmp_path: Path) -> AsyncIterator[Links]:
    """A link for each service, as its own user, all streams there."""
    async with AsyncExitStack() as stack:
        links: Links = {}
        for service in SERVICES:
            settings = settings_for(server, service, tmp_path)
            links[service] = await NatsLink.connect(settings, service)
            stack.push_async_callback(links[service].close)
        await provision(links["domains"], settings, SMALL)
        await provision(links["admin-api"], settings, SMALL)
        await wait_until_provisioned(links["edge"], settings)
        await wait_until_provisioned(links["filter"], settings)
        yield links


def settings_for(server: NatsServer, service: str, folder: Path) -> CommonSettings:
    password_file = folder / service
    password_file.write_text(password_of(service))
    return CommonSettings(
        nats_url=server.url, nats_user=service, nats_password_file=password_file, spool_partitions=PARTITIONS
    )


def a_message(identifier: str) -> SpooledMessage:
    return SpooledMessage(
        id=identifier,
        received_at=AT,
        direction=Direction.INBOUND,
        client=Client("192.0.2.7"),
        envelope=Envelope("ann@a.example", (Recipient("bob@b.example"),)),
        content=Content.of(b"Subject: x\r\n\r\nHello\r\n"),
    )


def an_event(service: str) -> Event:
    return Event(id=f"{service}-1", message_id="1k3v9q2m8f0abcde.1", at=AT, fact=Fact.ACCEPTED, service=service)


async def test_edge_asks_filter_and_domains(links: Links) -> None:
    async def judge(_question: ConnectionQuestion) -> Verdict:
        return Verdict(Action.ACCEPT)

    async def resolve(question: ResolveQuestion) -> ResolveAnswer:
        return ResolveAnswer(tuple(RecipientKind.LOCAL for _ in question.recipients))

    await NatsBus(links["filter"]).serve(CONNECTION, judge)
    await NatsBus(links["domains"]).serve(RESOLVE, resolve)
    edge = NatsBus(links["edge"])
    assert (await edge.ask(CONNECTION, ConnectionQuestion("s", Client("192.0.2.7")))).action is Action.ACCEPT
    assert (await edge.ask(RESOLVE, ResolveQuestion(("ann@a.example",)))).kinds == (RecipientKind.LOCAL,)


async def test_domains_alone_may_look_at_parked_mail_and_spool_it_again(links: Links) -> None:
    message = a_message("1k3v9q2m8f0abcdx.1")
    await jetstream.publish(links["domains"], UNREADABLE_SUBJECT, encode(message))
    assert (await retry(links["domains"], PARTITIONS)) == (1, 0)
    assert await parked(links["domains"]) == []
    reader = JetStreamSpoolReader(links["domains"], PARTITIONS)
    (delivery,) = await reader.fetch(10, WAIT)
    assert delivery.message == message
    await delivery.done()
    await reader.close()
    for service in set(SERVICES) - {"domains"}:
        with pytest.raises(JetStreamUnavailable):
            await jetstream.call(links[service], "STREAM.MSG.DELETE.SPOOL_UNREADABLE", {"seq": 1}, within_seconds=0.2)


async def test_edge_and_domains_spool_and_domains_takes(links: Links) -> None:
    for service in ("edge", "domains"):
        await JetStreamSpool(links[service], PARTITIONS).publish(a_message(f"1k3v9q2m8f0abcd{service[0]}.1"))
    reader = JetStreamSpoolReader(links["domains"], 1)  # the other partition is one of a higher number before
    taken: set[str] = set()
    async with asyncio.timeout(20):
        while len(taken) < 2:
            for delivery in await reader.fetch(10, WAIT):
                taken.add(delivery.message.id)
                await delivery.done()
    assert taken == {"1k3v9q2m8f0abcde.1", "1k3v9q2m8f0abcdd.1"}
    await reader.close()


async def test_every_service_records_facts_and_domains_takes_them(links: Links) -> None:
    for service in SERVICES:
        event_log = JetStreamEventLog(links[service], service)
        event_log.record(an_event(service))
        await event_log.flush()
        await event_log.close()
    reader = JetStreamEventReader(links["domains"])
    seen: set[str] = set()
    async with asyncio.timeout(20):
        while len(seen) < len(SERVICES):
            for batch in await reader.fetch(10, WAIT):
                seen |= {event.service for event in batch.events}
                await batch.done()
    assert seen == set(SERVICES)
    await reader.close()


async def test_configuration_reaches_every_service(links: Links) -> None:
    sources = [KvConfigSource(links[service]) for service in SERVICES]
    watched = [await source.watch(FILTER_KEY, FilterConfig) for source in sources]
    changed = [asyncio.Event() for _ in watched]
    for one, event in zip(watched, changed, strict=True):
        one.on_change(lambda _snapshot, event=event: event.set())  # type: ignore[misc]
    await KvConfigPublisher(links["admin-api"]).put(FILTER_KEY, FilterConfig(mode=PolicyMode.MONITOR))
    async with asyncio.timeout(2):
        for event in changed:
            await event.wait()
    assert {one.current.mode for one in watched} == {PolicyMode.MONITOR}
    for source in sources:
        await source.close()


@pytest.mark.parametrize("writer", ["edge", "domains", "admin-api"])
async def test_stored_content_is_read_listed_and_deleted(links: Links, writer: str) -> None:
    octets = b"x" * 300_000
    writing = ObjectContentStore(links[writer]).writer("1k3v9q2m8f0abcde.1")
    await writing.write(octets)
    content = await writing.commit()
    assert await read_all(ObjectContentStore(links["filter"]), content) == octets
    domains = ObjectContentStore(links["domains"])
    assert [stored.name for stored in await domains.list()] == ["1k3v9q2m8f0abcde.1"]
    await domains.delete("1k3v9q2m8f0abcde.1")
    assert await domains.delete_orphans(timedelta(0)) == 0


async def test_filter_keeps_triplets(links: Links) -> None:
    bucket = JetStreamBucket(links["filter"], "GREYLIST")
    revision = await bucket.create("a.b.c", b"1", timedelta(minutes=1))
    await bucket.update("a.b.c", b"2", revision, timedelta(minutes=1))
    assert await bucket.keys() == ["a.b.c"]
    await bucket.delete("a.b.c")


async def test_edge_counts_and_admin_api_reads(links: Links) -> None:
    counted = JetStreamCounters(links["edge"], SystemClock())
    seen = JetStreamCounters(links["admin-api"], SystemClock())
    for window_seconds in (60, 3600, 86_400):
        assert await counted.add("logins", f"{window_seconds}", window_seconds, 5) == 5
        assert await counted.read("logins", f"{window_seconds}", window_seconds) == 5
    assert {tally.of.key for tally in await seen.tallies("logins")} == {"60", "3600", "86400"}


async def test_edge_counts_hits_and_admin_api_reads_them(links: Links) -> None:
    await JetStreamTotals(links["edge"]).add_all("access", {"rule.1": 2})
    assert (await JetStreamTotals(links["admin-api"]).all("access"))["rule.1"].total == 2


async def test_admin_api_hears_of_every_instance(links: Links) -> None:
    for service in SERVICES:
        await NatsBus(links[service]).serve_all(NODES_SUBJECT, a_status(service))
    answers = await NatsBus(links["admin-api"]).gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=1))
    assert {answer.service for answer in answers} == set(SERVICES)


def a_status(service: str) -> Callable[[], NodeStatus]:
    return lambda: NodeStatus(service, "1", "0.1.0", AT, ready=True)


@pytest.mark.parametrize(
    ("service", "subject"),
    [
        pytest.param("filter", "spool.v1.0", id="filter does not spool"),
        pytest.param("filter", "$O.CONTENT.C.x", id="filter does not write content"),
        pytest.param("filter", "domains.v1.authenticate", id="filter does not try passwords"),
        pytest.param("edge", "$KV.CONFIG.filter", id="edge does not change configuration"),
        pytest.param("edge", "$KV.GREYLIST.a", id="edge does not change triplets"),
        pytest.param("edge", "events.v1.domains", id="edge does not speak for domains"),
        pytest.param("edge", "$JS.API.STREAM.DELETE.SPOOL_0", id="edge does not delete the spool"),
        pytest.param("edge", "$JS.API.CONSUMER.DURABLE.CREATE.SPOOL_0.deliver", id="edge does not read the spool"),
        pytest.param("domains", "$JS.API.CONSUMER.DURABLE.CREATE.KV_GREYLIST.deliver", id="domains reads no triplets"),
        pytest.param("domains", "$JS.API.STREAM.PURGE.KV_CONFIG", id="domains does not empty the configuration"),
        pytest.param("admin-api", "$JS.API.STREAM.PURGE.SPOOL_0", id="admin-api does not empty the spool"),
        pytest.param("domains", "$KV.CONFIG.edge", id="domains does not change configuration"),
        pytest.param("admin-api", "spool.v1.0", id="admin-api does not spool"),
        pytest.param("admin-api", "counters.v1.hour.a.b.60.1", id="admin-api does not count"),
        pytest.param("filter", "counters.v1.hour.a.b.60.1", id="filter does not count"),
        pytest.param("admin-api", "totals.v1.access.rule.1", id="admin-api does not count hits"),
        pytest.param("domains", "totals.v1.access.rule.1", id="domains does not count hits"),
        pytest.param("admin-api", "_INBOX.edge.x", id="admin-api does not answer what it was not asked"),
    ],
)
async def test_what_is_not_its_task_is_refused(links: Links, service: str, subject: str) -> None:
    """The server drops the message and says so; nobody answers."""
    with pytest.raises(TimeoutError):
        await links[service].request(subject, b"{}", within_seconds=0.3)


async def test_a_service_does_not_hear_the_answers_to_another(links: Links) -> None:
    heard: list[object] = []
    links["filter"].subscribe("_INBOX.edge.>", heard.append)
    await links["filter"].flush()
    with pytest.raises(NoAnswer):
        await NatsBus(links["edge"]).ask(RESOLVE, ResolveQuestion(("ann@a.example",)))
    assert heard == []


async def test_a_wrong_password_gets_no_connection(server: NatsServer, tmp_path: Path) -> None:
    settings = settings_for(server, "edge", tmp_path)
    (tmp_path / "edge").write_text("wrong")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await NatsLink.connect(settings, "edge")


async def test_inline_content_of_nearly_eight_megabytes_passes(links: Links) -> None:
    assert links["edge"].max_payload_octets == EIGHT_MB


async def test_bans_are_written_by_edge_and_admin_api_heard_by_edge_and_nothing_to_the_others(links: Links) -> None:
    heard: list[Ban] = []
    KvBans(links["edge"], SystemClock()).hear(heard.append, lambda: None)
    await links["edge"].flush()
    for service in ("edge", "admin-api"):
        bans = KvBans(links[service], SystemClock())
        ban = Ban("192.0.2.7", "abuse", AT, AT + WAIT, service)
        await bans.put(ban, SystemClock().now() + WAIT)
        assert await bans.find("192.0.2.7") == ban
        assert ban in await bans.all()
        await links["edge"].flush()
        assert heard[-1] == ban
    for service in ("filter", "domains"):
        with pytest.raises(BansUnavailable):
            await KvBans(links[service], SystemClock()).put(ban, AT + WAIT)


async def test_edges_alone_tell_each_other(links: Links) -> None:
    heard: list[SessionsTold] = []
    NatsTelling(links["edge"]).hear(SESSIONS_SUBJECT, SessionsTold, heard.append)
    await links["edge"].flush()
    for service in SERVICES:
        NatsTelling(links[service]).tell(SESSIONS_SUBJECT, SessionsTold(service, 1, {}))
        await links[service].flush()
    await links["edge"].flush()
    assert [told.worker for told in heard] == ["edge"]
