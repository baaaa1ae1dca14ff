"""Many large messages at one time, and one for many mailboxes: memory, files and the network have their bounds."""

import asyncio
import resource
import shutil
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path, PurePath

import pytest

from delivery_world import Delivery, Outside, make_message, no_refusals
from links import PARTITIONS, provisioned_link, until
from servers import NatsServer
from tripost_domains.delivery.mailbox.agent import STREAMS_A_THREAD, WHOLE_OCTETS, MailboxAgent
from tripost_domains.delivery.mailbox.maildir import Delivery as Written
from tripost_domains.delivery.mailbox.maildir import MaildirStore, MaildirWriting
from tripost_domains.delivery.mailbox.workers import DiskWorkers
from tripost_domains.delivery.outcome import Result, Trial
from tripost_domains.delivery.settings import DeliverySettings
from tripost_domains.directory.model import MailboxDestination
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.events import Fact
from tripost_shared.mail.content import Content
from tripost_shared.spool.jetstream import JetStreamSpool, JetStreamSpoolReader

THREADS = 2
MIB = 1 << 20
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 64_000  # 1.1 MiB: two windows of the content store
MESSAGES = MAILBOXES = 120


class HeldDisk(MaildirStore):
    """Writes nothing until it is let; counts the files that are begun and not yet ended."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.goes_on = threading.Event()
        self.begun = 0

    def begin(self, mailbox: PurePath, name: str) -> MaildirWriting:
        self.begun += 1
        assert self.goes_on.wait(10)
        return super().begin(mailbox, name)

    def deliver_all(self, deliveries: Sequence[Written]) -> list[OSError | None]:
        assert self.goes_on.wait(10)
        return super().deliver_all(deliveries)


class CountedContent(MemoryContentStore):
    """Counts its readers; gives content in two pieces, the second when it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = self.most_readers = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def open(self, content: Content) -> AsyncIterator[bytes]:
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        async for octets in super().open(content):
            yield octets[:100]
            await self.goes_on.wait()
            yield octets[100:]
        self.readers -= 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HeldDisk]:
    yield HeldDisk(tmp_path / "mail")
    shutil.rmtree(tmp_path / "mail", ignore_errors=True)


@pytest.fixture
def store() -> CountedContent:
    return CountedContent()


@pytest.fixture
async def agent(disk: HeldDisk, store: CountedContent) -> AsyncIterator[MailboxAgent]:
    workers = DiskWorkers(THREADS)
    workers.start()
    yield MailboxAgent(disk, workers, store, "mail.ours.example", no_refusals())
    disk.goes_on.set()
    await workers.stop()


def mailboxes(count: int) -> list[MailboxDestination]:
    return [MailboxDestination(f"u{n}@dest.example", "dest.example", f"u{n}") for n in range(count)]


async def test_messages_at_hand_are_copied_for_so_many_mailboxes_as_there_is_memory_for(
    agent: MailboxAgent, disk: HeldDisk
) -> None:
    message = make_message("team@dest.example", content=Content.of(LARGE))
    tracemalloc.start()
    delivering = [asyncio.create_task(agent.deliver(message, each, Trial())) for each in mailboxes(MAILBOXES)]
    await asyncio.sleep(0)
    copied_octets, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    disk.goes_on.set()
    assert {(await each).result for each in delivering} == {Result.DELIVERED}
    assert WHOLE_OCTETS // 2 < copied_octets < WHOLE_OCTETS + MIB


async def test_small_messages_are_gathered_as_before(agent: MailboxAgent, disk: HeldDisk) -> None:
    message = make_message("team@dest.example", content=Content.of(LARGE[:4096]))
    delivering = [asyncio.create_task(agent.deliver(message, each, Trial())) for each in mailboxes(MAILBOXES)]
    await asyncio.sleep(0)
    assert len(agent._group._writing) == MAILBOXES // 16
    disk.goes_on.set()
    assert {(await each).result for each in delivering} == {Result.DELIVERED}


async def test_stored_content_is_written_to_so_many_mailboxes_as_there_are_threads_for(
    agent: MailboxAgent, disk: HeldDisk, store: CountedContent
) -> None:
    disk.goes_on.set()
    store.goes_on.clear()
    message = make_message("team@dest.example", content=store.put("large", LARGE))
    delivering = [asyncio.create_task(agent.deliver(message, each, Trial())) for each in mailboxes(MAILBOXES)]
    await until(lambda: store.readers == STREAMS_A_THREAD * THREADS)
    store.goes_on.set()
    assert {(await each).result for each in delivering} == {Result.DELIVERED}
    assert store.most_readers == STREAMS_A_THREAD * THREADS


async def test_a_stopped_delivery_gives_its_turn_to_the_next(
    agent: MailboxAgent, disk: HeldDisk, store: CountedContent
) -> None:
    message = make_message("team@dest.example", content=store.put("large", LARGE))
    stopped = [asyncio.create_task(agent.deliver(message, each, Trial())) for each in mailboxes(MAILBOXES)]
    await until(lambda: disk.begun == THREADS)
    for task in stopped:
        task.cancel()
    disk.goes_on.set()
    await asyncio.wait(stopped)
    assert all(task.cancelled() for task in stopped)
    outcomes = await asyncio.gather(*(agent.deliver(message, each, Trial()) for each in mailboxes(20)))
    assert {outcome.result for outcome in outcomes} == {Result.DELIVERED}


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def link(own_server: NatsServer) -> AsyncIterator[NatsLink]:
    async with provisioned_link(own_server) as link:
        yield link


@pytest.fixture
async def delivery(link: NatsLink, tmp_path: Path, sqlite_url: str, quick: DeliverySettings) -> AsyncIterator[Delivery]:
    """Delivery from a real SPOOL and a real content store; facts stay at hand."""
    reader = JetStreamSpoolReader(link, PARTITIONS)
    joined = Delivery(tmp_path, sqlite_url, quick)
    joined._outside = Outside(reader, JetStreamSpool(link, PARTITIONS), ObjectContentStore(link), joined.events)
    joined.service = joined._joined()
    yield joined
    await joined.stop()
    await reader.close()
    shutil.rmtree(joined.mail, ignore_errors=True)


class Watched:
    """What this process uses more than at the beginning, at most."""

    def __init__(self) -> None:
        self.octets = self.descriptors = 0
        self._before = self._now()

    def look(self) -> None:
        octets, descriptors = self._now()
        self.octets = max(self.octets, octets - self._before[0])
        self.descriptors = max(self.descriptors, descriptors - self._before[1])

    def _now(self) -> tuple[int, int]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize(), len(list(Path("/proc/self/fd").iterdir()))


async def test_many_large_messages_and_a_large_one_for_many_are_delivered_over_one_connection(
    delivery: Delivery, link: NatsLink
) -> None:
    """All are at hand at once, and none is deferred."""
    losses = list[None]()
    link.after_regaining(lambda: losses.append(None))
    team = [f"u{number}@dest.example" for number in range(MAILBOXES)]
    for each in team:
        delivery.records.add(f"mailbox {each}")
    delivery.records.add(f"alias team@dest.example {' '.join(team)}")
    writer = ObjectContentStore(link).writer("large")
    await writer.write(LARGE)
    content = await writer.commit()
    spool = JetStreamSpool(link, PARTITIONS)
    await spool.publish(make_message("team@dest.example", content=content))
    for _ in range(MESSAGES):
        await spool.publish(make_message("ann@dest.example", content=content))
    used = Watched()

    def all_settled() -> bool:
        used.look()
        return len(delivery.facts()) >= MESSAGES + 1 + MAILBOXES

    await delivery.start()
    await delivery.until(all_settled, within=60)
    assert {fact for fact, _ in delivery.facts()} == {Fact.EXPANDED, Fact.DELIVERED}
    assert len(delivery.files()) == MESSAGES
    assert {len(delivery.files(f"dest.example/u{number}")) for number in range(MAILBOXES)} == {1}
    assert losses == []
    assert used.octets < 64 * MIB
    assert used.descriptors < 64  # the database's among them
