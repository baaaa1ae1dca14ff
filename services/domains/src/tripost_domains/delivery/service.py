"""Delivery as one thing to start and stop: intake from SPOOL, agents, deferred queue, bounces."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from tripost_domains.delivery.bouncer import Bouncer
from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.dispatch import Dispatcher
from tripost_domains.delivery.first_attempt import FirstAttempt
from tripost_domains.delivery.holding import Holding
from tripost_domains.delivery.informer import Informer
from tripost_domains.delivery.intake import Intake, Room
from tripost_domains.delivery.mailbox.agent import MailboxAgent
from tripost_domains.delivery.mailbox.maildir import MaildirStore
from tripost_domains.delivery.mailbox.refusals import Refusals
from tripost_domains.delivery.mailbox.workers import DiskWorkers
from tripost_domains.delivery.patience import every
from tripost_domains.delivery.relay.agent import RelayAgent
from tripost_domains.delivery.relay.finder import HostFinder
from tripost_domains.delivery.relay.gate import Gate, GateLimits
from tripost_domains.delivery.relay.memory import HostMemory
from tripost_domains.delivery.relay.pool import SessionPool
from tripost_domains.delivery.relay.reach import Reach
from tripost_domains.delivery.relay.session import Patience
from tripost_domains.delivery.settings import DeliverySettings
from tripost_domains.delivery.settlement import Settlement
from tripost_domains.delivery.waiting_room import WaitingRoom
from tripost_domains.ports import History, RecipientResolver
from tripost_domains.queue.backoff import BackoffPolicy
from tripost_domains.queue.later_attempt import LaterAttempt
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.queue.scheduler import LEASE, Pace, Scheduler
from tripost_shared.clock import Clock
from tripost_shared.content.port import ContentStore, ContentUnavailable
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.dns.port import Resolver
from tripost_shared.spool.port import EventLog, Spool, SpoolReader, SpoolUnavailable

log = structlog.get_logger()

CLOSE_IDLE_EVERY: Final = timedelta(seconds=2)
FIRST_SWEEP_AFTER: Final = timedelta(minutes=10)
SWEEP_EVERY: Final = timedelta(hours=1)
SWEEP_WAITS_FOR: Final = (DatabaseUnavailable, ContentUnavailable, SpoolUnavailable)
QUEUEING_FOR_EACH_AT_HAND: Final = 3  # messages that only wait for their rows in the queue
AFTER_LONGEST_DELAY: Final = timedelta(minutes=5)  # a queue may be late; then a mailbox's trouble is forgotten
BUSY_SECONDS: Final = 2.0  # until a delivery comes back that found its next hop too busy


class DeliveryService:
    """Delivers what is in SPOOL and in the deferred queue.

    `mail` is the folder of the Maildirs; `hostname` is how we say EHLO and sign bounces.
    """

    def __init__(
        self,
        reader: SpoolReader,
        spool: Spool,
        content: ContentStore,
        directory: RecipientResolver,
        queue: QueueRepository,
        history: History,
        events: EventLog,
        resolver: Resolver,
        *,
        settings: DeliverySettings,
        clock: Clock,
        mail: Path,
        hostname: str,
    ) -> None:
        self._reader = reader
        self._queue = queue
        self._contents = Contents(content, clock)
        self._workers = DiskWorkers(settings.mailbox_threads)
        self._pool = SessionPool(clock, settings.relay_idle_seconds, settings.relay_messages_per_connection)
        policy = _backoff(settings)
        self._refusals = Refusals(mail, clock, policy.longest + AFTER_LONGEST_DELAY)
        mailboxes = MailboxAgent(MaildirStore(mail), self._workers, content, hostname, self._refusals)
        relay = _relay_agent(settings, resolver, self._pool, content, hostname, clock)
        dispatcher = Dispatcher(directory, mailboxes, relay)
        bouncer = Bouncer(spool, self._contents, queue, history, events, hostname, clock)
        queueing = WaitingRoom(settings.messages_at_hand * QUEUEING_FOR_EACH_AT_HAND)
        informer = Informer(bouncer, clock, timedelta(seconds=settings.delay_notice_seconds))
        settlement = Settlement(queue, self._contents, bouncer, events, policy, clock, queueing, informer=informer)
        room = Room(settings.messages_at_hand, settings.octets_at_hand)
        pace = Pace(
            settings.queue_poll_seconds,
            settings.queue_concurrency,
            settings.relay_connections_per_hop,
            mailboxes=settings.queue_concurrency,
        )
        lifetime = timedelta(seconds=settings.queue_lifetime_seconds)
        holding = Holding(queue, self._contents, events, lifetime, clock, queueing)
        attempt = FirstAttempt(dispatcher, settlement, holding, queue, history, self._contents, events, clock)
        self._intake = Intake(reader, attempt, events, clock, room, queueing)
        later = LaterAttempt(dispatcher, settlement, queue, history, self._contents, events, clock, LEASE)
        self._scheduler = Scheduler(queue, later, self._contents, events, clock, pace)
        self._loops: list[asyncio.Task[None]] = []

    @property
    def messages_at_hand(self) -> int:
        """How many messages are taken from SPOOL and not yet settled."""
        return self._intake.messages_at_hand

    @property
    def troubles(self) -> Iterator[str]:
        """What keeps mail from mailboxes that an operator should look at."""
        return self._refusals.troubles()

    @property
    def is_at_work(self) -> bool:
        """Whether mail is taken from SPOOL."""
        return self._intake.is_at_work

    async def start(self) -> None:
        """Begin to deliver."""
        self._workers.start()
        self._intake.start()
        self._scheduler.start()
        self._loops = [
            asyncio.create_task(every(CLOSE_IDLE_EVERY, self._pool.close_idle, (), "close idle sessions")),
            asyncio.create_task(every(SWEEP_EVERY, self._sweep, SWEEP_WAITS_FOR, "sweep content", FIRST_SWEEP_AFTER)),
        ]

    async def drain(self) -> None:
        """Take nothing new, finish what is at hand."""
        await asyncio.gather(self._intake.drain(), self._scheduler.drain())

    async def stop(self) -> None:
        """Close everything; what is not finished goes back to where it came from."""
        for task in self._loops:
            task.cancel()
        if self._loops:
            await asyncio.wait(self._loops)
        await self._intake.stop()
        await self._scheduler.stop()
        await self._pool.close()
        await self._workers.stop()

    async def _sweep(self) -> None:
        """Delete content that nothing refers to: left by a crash, or of a transaction that was never finished."""
        count = await self._contents.sweep(await self._reader.oldest_at(), self._queue.contents)
        if count:
            log.info("orphaned content deleted", objects=count)


def _relay_agent(
    settings: DeliverySettings,
    resolver: Resolver,
    pool: SessionPool,
    content: ContentStore,
    hostname: str,
    clock: Clock,
) -> RelayAgent:
    finder = HostFinder(
        resolver,
        [hostname],
        settings.relay_own_addresses,
        reach=Reach(settings.relay_to_private, loopback=settings.relay_to_loopback),
        mx_port=settings.relay_port,
    )
    memory = HostMemory(clock, timedelta(seconds=settings.relay_host_failure_seconds))
    limits = GateLimits(
        active=settings.relay_connections,
        active_per_hop=settings.relay_connections_per_hop,
        waiting=settings.messages_at_hand * 2 // 5,  # so that slow next hops leave room for mailboxes
        waiting_per_hop=settings.messages_at_hand // 10,
    )
    patience = Patience(
        connect=settings.relay_connect_seconds,
        greeting=settings.relay_greeting_seconds,
        command=settings.relay_command_seconds,
        block=settings.relay_block_seconds,
        final=settings.relay_final_seconds,
    )
    return RelayAgent(finder, memory, pool, Gate(limits), content, hostname, patience)


def _backoff(settings: DeliverySettings) -> BackoffPolicy:
    return BackoffPolicy(
        first=timedelta(seconds=settings.retry_first_seconds),
        cap=timedelta(seconds=settings.retry_cap_seconds),
        lifetime=timedelta(seconds=settings.queue_lifetime_seconds),
        busy=timedelta(seconds=min(BUSY_SECONDS, settings.retry_first_seconds)),
    )
