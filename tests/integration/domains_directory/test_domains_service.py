"""The domains service with a real nats-server and a real database of either kind."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from argon2 import PasswordHasher
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from config_publisher import KvConfigPublisher
from delivery_world import make_message
from domains_service import built, running
from postgres_server import TEMPLATE, PostgresServer
from queue_world import ALL, a_deferral, add
from servers import NatsServer, free_port
from tripost_domains.queue.owner import take_owner
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.port import NoAnswer
from tripost_shared.contracts.config import DIRECTORY_KEY, DirectoryChange
from tripost_shared.contracts.domains import (
    AUTHENTICATE,
    MAY_SEND,
    RESOLVE,
    AuthenticateQuestion,
    MaySendQuestion,
    RecipientKind,
    ResolveQuestion,
)
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.database.engine import open_engine
from tripost_shared.database.migrate import upgrade
from tripost_shared.database.models import Domain, Mailbox, QueuedDelivery, TrackedMessage
from tripost_shared.database.transactions import DatabaseUnavailable, reading, writing
from tripost_shared.dns import silence
from tripost_shared.settings import CommonSettings
from tripost_shared.spool.events import JetStreamEventLog
from tripost_shared.spool.jetstream import JetStreamSpool

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSWORD = "correct horse"


class Asker:
    """What edge and admin-api do: ask, tell of changes, record facts."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self.bus = NatsBus(link)

    async def kinds(self, *recipients: str) -> list[RecipientKind]:
        return list((await self.bus.ask(RESOLVE, ResolveQuestion(recipients))).kinds)

    async def tell_of_a_change(self, revision: int) -> None:
        await KvConfigPublisher(self._link).put(DIRECTORY_KEY, DirectoryChange(revision))

    async def record(self, message: str, fact: Fact) -> None:
        events = JetStreamEventLog(self._link, "edge")
        events.record(Event(f"{message}-{fact}", message, NOW, fact, "edge", client="192.0.2.1"))
        await events.flush()
        await events.close()

    async def spool(self, message: SpooledMessage) -> None:
        await JetStreamSpool(self._link, CommonSettings().spool_partitions).publish(message)

    async def status(self) -> list[NodeStatus]:
        return await self.bus.gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=0.5))


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    """A nats-server whose consumers no other test shares."""
    with NatsServer() as server:
        yield server


@pytest.fixture
def own_postgres(own_postgres: PostgresServer) -> PostgresServer:
    """The one of all tests, with a database `tripost_template` for the service to migrate."""
    own_postgres.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
    return own_postgres


@pytest.fixture
async def asker(own_nats: NatsServer) -> AsyncIterator[Asker]:
    link = await NatsLink.connect(CommonSettings(nats_url=own_nats.url), "edge")
    yield Asker(link)
    await link.close()


async def add_mailbox(engine: AsyncEngine, local_part: str) -> None:
    async with writing(engine) as connection:
        domain_id = (await connection.execute(select(Domain.id).where(Domain.name == "dest.example"))).scalar()
        if domain_id is None:
            await connection.execute(insert(Domain).values(name="dest.example", created_at=NOW))
            domain_id = (await connection.execute(select(Domain.id))).scalar_one()
        password_hash = PasswordHasher(2, 19_456, 1).hash(PASSWORD)
        row = {"domain_id": domain_id, "local_part": local_part, "password_hash": password_hash, "enabled": True}
        await connection.execute(insert(Mailbox).values(created_at=NOW, **row))


async def tracked(engine: AsyncEngine, message: str) -> str | None:
    try:
        async with reading(engine) as connection:
            found = select(TrackedMessage.status).where(TrackedMessage.id == message)
            return (await connection.execute(found)).scalar()
    except DatabaseUnavailable:
        return None


async def until(condition: Callable[[], Awaitable[bool]], within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 (what is waited for is in other processes)
            await asyncio.sleep(0.02)


async def test_the_service_answers_edge_and_follows_changes(
    own_nats: NatsServer,
    asker: Asker,
    database: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add_mailbox(database, "ann")
    async with running(built(own_nats, database_url, tmp_path, monkeypatch)):
        assert await asker.kinds("ann@dest.example", "bob@dest.example", "eve@other.example") == [
            RecipientKind.LOCAL,
            RecipientKind.UNKNOWN,
            RecipientKind.FOREIGN,
        ]
        login = AuthenticateQuestion("session", "192.0.2.1", "PLAIN", "ann@dest.example", PASSWORD)
        assert (await asker.bus.ask(AUTHENTICATE, login)).login == "ann@dest.example"
        assert (await asker.bus.ask(MAY_SEND, MaySendQuestion("ann@dest.example", "ann+x@dest.example"))).allowed

        await add_mailbox(database, "bob")
        await asker.tell_of_a_change(7)

        async def bob_is_known() -> bool:
            return await asker.kinds("bob@dest.example") == [RecipientKind.LOCAL]

        await until(bob_is_known, within=2)  # a change is live in under 2 s
        [status] = await asker.status()
        assert (status.service, status.ready, status.config_revision) == ("domains", True, 7)
        assert status.details["tracking"] == "ok"


async def test_an_edge_that_heard_of_a_change_first_gets_no_answer_from_before_it(
    own_nats: NatsServer,
    asker: Asker,
    database: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Domains hears of it late, or never; edge would keep what it is told as an answer from after the change."""
    await add_mailbox(database, "ann")
    async with running(built(own_nats, database_url, tmp_path, monkeypatch)):
        recipient = ResolveQuestion(("ann@dest.example",), 7)
        sender = MaySendQuestion("ann@dest.example", "ann+x@dest.example", directory_revision=7)
        assert (await asker.bus.ask(RESOLVE, recipient)).kinds == (RecipientKind.LOCAL,)
        assert (await asker.bus.ask(MAY_SEND, sender)).allowed
        async with writing(database) as connection:
            await connection.execute(update(Mailbox).values(enabled=False))
        assert (await asker.bus.ask(RESOLVE, recipient)).kinds == (RecipientKind.LOCAL,)
        assert (await asker.bus.ask(MAY_SEND, sender)).allowed

        later = msgspec.structs.replace(recipient, directory_revision=8)
        assert (await asker.bus.ask(RESOLVE, later)).kinds == (RecipientKind.DISABLED,)
        assert not (await asker.bus.ask(MAY_SEND, msgspec.structs.replace(sender, directory_revision=9))).allowed


async def test_facts_of_other_services_are_tracked(
    own_nats: NatsServer,
    asker: Asker,
    database: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(built(own_nats, database_url, tmp_path, monkeypatch)):
        await asker.record("1k3v9q2m8f0abcde.1", Fact.ACCEPTED)

        async def is_tracked() -> bool:
            return await tracked(database, "1k3v9q2m8f0abcde.1") == "accepted"

        await until(is_tracked)
    assert await is_tracked()


async def test_the_service_lives_through_the_death_of_its_database(
    own_nats: NatsServer,
    asker: Asker,
    own_postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is known is still answered, what is not comes back later, and no fact is lost."""
    url = own_postgres.url(TEMPLATE)
    await upgrade(url)
    engine = open_engine(url)
    await add_mailbox(engine, "ann")
    await add_mailbox(engine, "bob")
    async with running(built(own_nats, url, tmp_path, monkeypatch)):
        assert await asker.kinds("ann@dest.example") == [RecipientKind.LOCAL]

        own_postgres.kill()
        await asker.record("1k3v9q2m8f0abcde.1", Fact.REFUSED)
        assert await asker.kinds("ann@dest.example") == [RecipientKind.LOCAL]
        with pytest.raises(NoAnswer):
            await asker.kinds("bob@dest.example")

        async def says_so() -> bool:
            return any(trouble.startswith("tracking waits") for trouble in (await asker.status())[0].troubles)

        await until(says_so)
        own_postgres.start()

        async def is_back() -> bool:
            return await tracked(engine, "1k3v9q2m8f0abcde.1") == "refused"

        await until(is_back)
        assert await asker.kinds("bob@dest.example") == [RecipientKind.LOCAL]
    await engine.dispose()


async def test_what_a_killed_service_in_the_same_place_had_claimed_is_freed_at_once(
    own_nats: NatsServer, database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = take_owner(tmp_path / "mail", socket.gethostname())
    queue = QueueRepository(database, killed.name)
    await add(queue, a_deferral())
    await queue.claim_due(datetime.now(UTC), timedelta(hours=1), ALL)

    async def claimants() -> list[str]:
        async with reading(database) as connection:
            return list(await connection.scalars(select(QueuedDelivery.claimed_by)))

    assert await claimants() == [killed.name]
    killed.leave()
    async with running(built(own_nats, database_url, tmp_path, monkeypatch)):

        async def is_freed() -> bool:
            return await claimants() != [killed.name]

        await until(is_freed)


async def test_a_service_that_takes_no_mail_any_more_is_not_ready_and_says_why(
    own_nats: NatsServer, asker: Asker, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(built(own_nats, sqlite_url, tmp_path, monkeypatch)) as service:
        assert service.is_ready()
        assert service._delivery is not None
        fetching = service._delivery._intake._fetching
        assert fetching is not None
        fetching.cancel()
        await asyncio.wait({fetching})
        assert not service.is_ready()
        [status] = await asker.status()
        assert (status.ready, status.troubles) == (False, ("no mail is taken from the spool: restart this instance",))


async def test_a_service_whose_dns_servers_are_silent_says_so(
    own_nats: NatsServer, asker: Asker, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "TROUBLE_SECONDS", 0.0)
    service = built(own_nats, sqlite_url, tmp_path, monkeypatch, dns_servers=[f"127.0.0.1:{free_port()}"])
    async with running(service):
        assert (await asker.status())[0].troubles == ()
        assert service._resolver is not None
        for number in range(3):
            await service._resolver.resolve(f"n{number}.example", "MX")

        async def says_so() -> bool:
            return (await asker.status())[0].troubles != ()

        await until(says_so)
        [trouble] = (await asker.status())[0].troubles
        assert trouble.startswith("next hops cannot be looked up: no DNS server answers")


async def test_a_mail_folder_that_cannot_be_written_is_told_until_mail_is_delivered_there(
    own_nats: NatsServer, asker: Asker, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPOST_DOMAINS_RETRY_FIRST_SECONDS", "3600")
    in_the_way = tmp_path / "mail" / "dest.example"
    async with running(built(own_nats, sqlite_url, tmp_path, monkeypatch)) as service:
        assert service._engine is not None
        await add_mailbox(service._engine, "ann")
        in_the_way.write_text("no folder")
        await asker.spool(make_message("ann@dest.example"))

        async def is_told() -> bool:
            return (await asker.status())[0].troubles != ()

        await until(is_told)
        assert (await asker.status())[0].troubles == (
            f"mail folder {tmp_path / 'mail'}: Not a directory: mail for dest.example/ann, deferred once",
        )
        in_the_way.unlink()
        await asker.spool(make_message("ann@dest.example"))

        async def is_over() -> bool:
            return not await is_told()

        await until(is_over)


async def test_a_service_that_finds_no_database_waits_for_it(
    own_nats: NatsServer,
    asker: Asker,
    own_postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_postgres.stop()
    service = built(own_nats, own_postgres.url(TEMPLATE), tmp_path, monkeypatch)
    starting = asyncio.create_task(service.start())
    try:
        done, _ = await asyncio.wait({starting}, timeout=1)
        assert not done
        assert not service.is_ready()
        own_postgres.start()
        async with asyncio.timeout(20):
            await starting
        assert service.is_ready()
        assert await asker.kinds("ann@dest.example") == [RecipientKind.FOREIGN]
    finally:
        starting.cancel()
        await service.stop()
