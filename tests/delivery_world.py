"""Delivery joined over a fake SPOOL, a table as directory, real disks, databases and next hops."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from next_hop import NextHop
from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.adapters.sql_tracking import SqlTracking
from tripost_domains.delivery.mailbox.refusals import Refusals
from tripost_domains.delivery.service import DeliveryService
from tripost_domains.delivery.settings import DeliverySettings
from tripost_domains.directory.cache import CacheLimits
from tripost_domains.directory.service import Directory
from tripost_domains.ports import History
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.tracking.history import TrackedHistory
from tripost_domains.tracking.recorder import Rhythm, TrackingRecorder
from tripost_shared.bus.encoding import decode, encode
from tripost_shared.clock import SystemClock
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.content.port import ContentStore
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.database.transactions import reading, writing
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.identifier import new_session_id
from tripost_shared.spool.memory import MemoryEventLog, MemoryEventReader, MemorySpool
from tripost_shared.spool.port import EventLog, EventReader, Spool, SpoolReader

TOP = b"Received: from client.example\r\n\tby mail.ours.example; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
BOB = "bob@other.example"
OCTETS = b"From: ann@sender.example\r\nSubject: Hello\r\n\r\n.dots\r\nat the beginning\r\n..of lines\r\n"

QUICK = Rhythm(timedelta(milliseconds=10), timedelta(milliseconds=20), timedelta(milliseconds=100))


def make_message(
    *recipients: str,
    reverse_path: str = "ann@sender.example",
    content: Content | None = None,
    received_at: datetime | None = None,
    smtputf8: bool = False,
    eight_bit: bool = False,
) -> SpooledMessage:
    """A message as edge spools it."""
    now = received_at or datetime.now(UTC)
    return SpooledMessage(
        id=f"{new_session_id(now)}.1",
        received_at=now,
        direction=Direction.INBOUND,
        client=Client("192.0.2.1"),
        envelope=Envelope(reverse_path, tuple(map(Recipient, recipients)), smtputf8=smtputf8, eight_bit=eight_bit),
        content=content or Content.of(OCTETS),
        header_fields=TOP,
    )


@dataclass(frozen=True)
class Outside:
    """What is real where a test wants it so. `facts`: the event log's reader, if the tracking reads the same log."""

    reader: SpoolReader
    spool: Spool
    store: ContentStore
    events: EventLog
    facts: EventReader | None = None


class Delivery:
    """The delivery service over a fake SPOOL, a table as directory, a real disk and a real database."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        settings: DeliverySettings,
        *,
        outside: Outside | None = None,
    ) -> None:
        self.mail = folder / "mail"
        self.clock = SystemClock()
        self.spool = MemorySpool()
        self.store = MemoryContentStore()
        self.events = MemoryEventLog()
        self._outside = outside or Outside(self.spool, self.spool, self.store, self.events)
        self.records = MemoryDirectoryRecords("mailbox ann@dest.example", "mailbox bob@dest.example")
        self.dns = TableResolver()
        self.database_url = database_url
        self.engine: AsyncEngine = open_engine(database_url)
        self.settings = settings
        self.facts_reader = self._outside.facts or MemoryEventReader(self.events)
        self.tracking = SqlTracking(self.engine)
        self.recorder = TrackingRecorder(self.facts_reader, self.tracking, QUICK)
        self.service = self._joined()

    def _history(self) -> History:
        return TrackedHistory(self.facts_reader, self.tracking, self.clock, timedelta(seconds=1))

    def _joined(self) -> DeliveryService:
        # nothing is remembered, so that a test's change of the directory counts at once
        limits = CacheLimits(fresh_for=timedelta(0), stale_for=timedelta(0))
        return DeliveryService(
            self._outside.reader,
            self._outside.spool,
            self._outside.store,
            Directory(self.records, self.clock, limits),
            QueueRepository(self.engine, "test"),
            self._history(),
            self._outside.events,
            self.dns,
            settings=self.settings,
            clock=self.clock,
            mail=self.mail,
            hostname="mail.ours.example",
        )

    async def start(self) -> None:
        """Begin to deliver, and to write facts to the database."""
        self.recorder.start()
        await self.service.start()

    async def stop(self) -> None:
        """End all."""
        await self.service.stop()
        await self.recorder.stop()
        await self.engine.dispose()

    async def restart(self) -> None:
        """Stop without draining: what was not acknowledged comes again; and start anew."""
        await self.service.stop()
        self.service = self._joined()
        await self.service.start()

    def files(self, mailbox: str = "dest.example/ann") -> list[Path]:
        """The messages in a mailbox."""
        return sorted((self.mail / mailbox / "new").glob("*")) + sorted((self.mail / mailbox / "cur").glob("*"))

    async def until(self, holds: Callable[[], bool], within: float = 10.0) -> None:
        """Wait until something holds; raises TimeoutError."""
        async with asyncio.timeout(within):
            while not holds():  # noqa: ASYNC110 (disks, databases and fakes are watched: none of them tells)
                await asyncio.sleep(0.01)

    async def until_settled(self) -> None:
        """Wait until SPOOL is empty."""
        await self.until(lambda: not self.spool.messages)

    def facts(self, message_id: str = "") -> list[tuple[Fact, str]]:
        """What was recorded, in order: the fact and its recipient."""
        return [(event.fact, event.recipient) for event in self._of(message_id)]

    def event(self, fact: Fact) -> Event:
        """The newest event of that kind."""
        return next(event for event in reversed(self.events.events) if event.fact is fact)

    def _of(self, message_id: str) -> list[Event]:
        """Facts, each once: the tracking knows one that is told again by its id."""
        facts = {event.id: event for event in reversed(self.events.events)}
        return [event for event in reversed(facts.values()) if not message_id or event.message_id == message_id]


def no_refusals() -> Refusals:
    """For a mailbox agent of whom nobody asks what the disk has refused."""
    return Refusals(Path("mail"), SystemClock(), timedelta(hours=1))


async def queued(delivery: Delivery) -> list[str]:
    """The recipients in the queue."""
    async with reading(delivery.engine) as connection:
        return sorted(await connection.scalars(select(QueuedDelivery.recipient)))


async def until_queued(delivery: Delivery, *recipients: str) -> None:
    async with asyncio.timeout(10):
        while await queued(delivery) != sorted(recipients):  # noqa: ASYNC110 (a database tells nothing)
            await asyncio.sleep(0.02)


async def give_again(delivery: Delivery, message: SpooledMessage) -> None:
    """Let SPOOL give a message again that it has seen acknowledged: the acknowledgement was lost in a crash."""
    delivery.spool._seen.discard(message.id)
    await delivery.spool.publish(message)
    delivery.spool.forget_takers()


async def patient(delivery: Delivery) -> None:
    """Let nothing be tried a second time before the test asks for it."""
    delivery.settings.retry_first_seconds = 3600
    await delivery.restart()


async def retry_now(delivery: Delivery) -> None:
    """What an operator does."""
    async with writing(delivery.engine) as connection:
        await connection.execute(update(QueuedDelivery).values(next_attempt_at=datetime.now(UTC)))


async def release(delivery: Delivery) -> None:
    """What an operator does to what is held."""
    async with writing(delivery.engine) as connection:
        changed = {"state": DeliveryState.DEFERRED, "next_attempt_at": datetime.now(UTC)}
        await connection.execute(update(QueuedDelivery).values(**changed))


async def expire(delivery: Delivery) -> None:
    """Let the time of all that is queued be over."""
    async with writing(delivery.engine) as connection:
        await connection.execute(update(QueuedDelivery).values(expires_at=datetime.now(UTC)))


async def make_older(delivery: Delivery, by: timedelta) -> None:
    """Let the queued messages have come in earlier than they have."""
    async with writing(delivery.engine) as connection:
        for message_id, spooled in await connection.execute(select(QueuedMessage.id, QueuedMessage.spooled)):
            message = decode(spooled, SpooledMessage)
            older = msgspec.structs.replace(message, received_at=message.received_at - by)
            await connection.execute(
                update(QueuedMessage).where(QueuedMessage.id == message_id).values(spooled=encode(older))
            )


def route(delivery: Delivery, hop: NextHop, domain: str = "other.example") -> None:
    delivery.records.add(f"route {domain} {hop.host}:{hop.port} may")


@asynccontextmanager
async def database_away(delivery: Delivery) -> AsyncIterator[None]:
    """Lock the database as long as the block runs, the way another process could."""
    delivery.records.is_away = True
    try:
        async with _locked(delivery.database_url):
            yield
    finally:
        delivery.records.is_away = False


@asynccontextmanager
async def _locked(database_url: str) -> AsyncIterator[None]:
    if not database_url.startswith("sqlite"):
        connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
        async with connection.transaction():
            await connection.execute("LOCK TABLE queued_messages, tracked_messages IN ACCESS EXCLUSIVE MODE")
            yield
        await connection.close()
        return
    file = sqlite3.connect(database_url.partition("///")[2], isolation_level=None)
    file.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        file.rollback()
        file.close()


async def next_look(delivery: Delivery) -> None:
    """Wait until the scheduler has looked for due deliveries once more."""
    aside = delivery.service._scheduler._aside
    await delivery.until(lambda: delivery.service._scheduler._aside is not aside)
