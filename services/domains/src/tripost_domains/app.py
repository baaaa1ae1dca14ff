"""The domains service: builds all objects in one place and joins them."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tripost_domains.adapters.argon2_passwords import Argon2Passwords
from tripost_domains.adapters.gssapi_acceptor import GssapiAcceptor
from tripost_domains.adapters.sql_directory import SqlDirectoryRecords
from tripost_domains.adapters.sql_tracking import SqlTracking
from tripost_domains.delivery.service import DeliveryService
from tripost_domains.delivery.settings import DeliverySettings
from tripost_domains.directory.authentication import Authenticator
from tripost_domains.directory.logins import Logins
from tripost_domains.directory.questions import DirectoryQuestions
from tripost_domains.directory.senders import Senders
from tripost_domains.directory.service import Directory
from tripost_domains.queue.owner import take_owner_in_time
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.sasl.answerer import Answerer
from tripost_domains.sasl.cram_md5 import CramMd5
from tripost_domains.sasl.kerberos import Kerberos
from tripost_domains.sasl.questions import SaslQuestions
from tripost_domains.sasl.scram import Scram
from tripost_domains.sasl.stored import StoredSecrets
from tripost_domains.settings import DomainsSettings
from tripost_domains.tracking.history import TrackedHistory
from tripost_domains.tracking.recorder import TrackingRecorder
from tripost_domains.tracking.retention import Retention
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import SystemClock
from tripost_shared.config.kv import KvConfigSource
from tripost_shared.config.port import Watched
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.config import DIRECTORY_KEY, DirectoryChange
from tripost_shared.contracts.sasl import Mechanism
from tripost_shared.database.engine import open_engine
from tripost_shared.database.migrate import upgrade_when_there
from tripost_shared.dns.resolver import CachingResolver
from tripost_shared.dns.system import system_servers
from tripost_shared.health import HealthServer
from tripost_shared.home import make_home
from tripost_shared.logins.scram import HASHES
from tripost_shared.logins.sealing import LoginKey, login_key
from tripost_shared.nodes import serve_status
from tripost_shared.provision import provision
from tripost_shared.reprovision import Reprovision
from tripost_shared.runner import run
from tripost_shared.settings import CommonSettings, DatabaseSettings
from tripost_shared.spool.events import JetStreamEventLog, JetStreamEventReader
from tripost_shared.spool.jetstream import JetStreamSpool, JetStreamSpoolReader

log = structlog.get_logger()


class DomainsService:
    """Answers where recipients lead and who logs in, delivers what is in SPOOL, and writes the tracking."""

    def __init__(self, common: CommonSettings) -> None:
        self._common = common
        self._settings = DomainsSettings()
        self._delivery_settings = DeliverySettings()
        lifetime = timedelta(seconds=self._delivery_settings.queue_lifetime_seconds)
        self._tracked_for = self._settings.tracked_for(lifetime)
        self._servers = system_servers(common)
        self._clock = SystemClock()
        self._health = self._health_server()
        self._closing = AsyncExitStack()
        self._url = ""
        self._key: LoginKey | None = None
        self._stored: StoredSecrets | None = None
        self._kerberos: tuple[GssapiAcceptor, Mapping[str, str]] | None = None
        self._engine: AsyncEngine | None = None
        self._bus: NatsBus | None = None
        self._reader: JetStreamSpoolReader | None = None
        self._resolver: CachingResolver | None = None
        self._delivery: DeliveryService | None = None
        self._recorder: TrackingRecorder | None = None
        self._config: KvConfigSource | None = None
        self._is_serving = False

    def is_ready(self) -> bool:
        """Whether questions are answered and mail is delivered now."""
        if self._bus is None or self._delivery is None:
            return False
        return self._is_serving and self._bus.is_connected and self._delivery.is_at_work

    def bind(self) -> None:
        """Make the state's folder, open the health server's socket, read secrets, load the database's driver."""
        make_home(self._common)
        self._common.nats_password()
        database = DatabaseSettings()
        self._url = database.url(self._common.home)
        self._key = login_key(database)
        kerberos = self._settings.kerberos()
        if kerberos is not None:
            keytab, realms = kerberos
            self._kerberos = (GssapiAcceptor(keytab), realms)
        self._engine = open_engine(self._url)
        if self._health is not None:
            self._health.bind()

    async def start(self) -> None:
        """Wait for NATS and the database, then answer and deliver."""
        if self._engine is None:
            raise RuntimeError("start before bind")
        self._closing.push_async_callback(self._engine.dispose)
        if self._health is not None:
            self._closing.push_async_callback(self._health.stop)
            await self._health.start()
        link = await NatsLink.connect(self._common, "domains")
        self._closing.push_async_callback(link.close)
        await provision(link, self._common)
        self._closing.push_async_callback(Reprovision(link, self._common).close)
        if self._settings.migrate_at_start:
            revision = await upgrade_when_there(self._url)
            log.info("the database is there", schema_revision=revision)
        self._bus = NatsBus(link)
        directory = Directory(
            SqlDirectoryRecords(self._engine),
            self._clock,
            self._settings.cache_limits(),
            self._settings.postmaster,
            self._common.hostname,
        )
        history = self._start_tracking(link, self._engine)
        change = await self._answer(link, self._bus, self._engine, directory)
        await self._start_delivery(link, self._engine, directory, history)
        await serve_status(
            self._bus,
            "domains",
            self.is_ready,
            self._details,
            lambda: change.current.revision,
            troubles=self._troubles,
        )
        self._is_serving = True

    async def drain(self) -> None:
        """Take no more questions and no more mail, finish what is at hand."""
        self._is_serving = False
        if self._bus is not None:
            await self._bus.drain()
        if self._delivery is not None:
            await self._delivery.drain()
        if self._recorder is not None:
            await self._recorder.drain()

    async def stop(self) -> None:
        """Close everything, what was opened last first."""
        self._is_serving = False
        await self._closing.aclose()

    def _start_tracking(self, link: NatsLink, engine: AsyncEngine) -> TrackedHistory:
        reader = JetStreamEventReader(link)
        self._closing.push_async_callback(reader.close)
        store = SqlTracking(engine)
        self._recorder = TrackingRecorder(reader, store)
        self._closing.push_async_callback(self._recorder.stop)
        self._recorder.start()
        retention = Retention(store, self._clock, self._tracked_for)
        self._closing.push_async_callback(retention.stop)
        retention.start()
        return TrackedHistory(reader, store, self._clock)

    async def _answer(
        self, link: NatsLink, bus: NatsBus, engine: AsyncEngine, directory: Directory
    ) -> Watched[DirectoryChange]:
        passwords = Argon2Passwords(self._settings.password_threads, self._settings.password_queue)
        self._closing.callback(passwords.close)
        logins = Logins(SqlDirectoryRecords(engine), self._clock)
        self._closing.push_async_callback(logins.settle)
        authenticator = Authenticator(logins, passwords, self._clock, self._settings.login_limits())
        self._config = config = KvConfigSource(link)
        self._closing.push_async_callback(config.close)
        questions = DirectoryQuestions(directory, logins, authenticator, self._sasl(logins), Senders(directory))
        change = await config.watch(DIRECTORY_KEY, DirectoryChange)
        questions.take_change(change.current)
        change.on_change(questions.take_change)
        await questions.serve(bus)
        return change

    def _sasl(self, logins: Logins) -> SaslQuestions:
        """Join the mechanisms that work here: those that need a secret of their own need the key, too."""
        answerers: dict[Mechanism, Answerer] = {}
        if self._key is None:
            log.info("SCRAM and CRAM-MD5 are off", because="TRIPOST_DATABASE_KEY_FILE is not set")
        else:
            self._stored = stored = StoredSecrets(self._key)
            answerers |= {mechanism: Scram(mechanism, logins, stored) for mechanism in HASHES}
            answerers[Mechanism.CRAM_MD5] = CramMd5(logins, stored, self._common.hostname)
        if self._kerberos is None:
            return SaslQuestions(logins, answerers)
        acceptor, realms = self._kerberos
        kerberos = Kerberos(acceptor, realms, logins, self._clock)
        return SaslQuestions(logins, {**answerers, Mechanism.GSSAPI: kerberos}, kerberos.instance)

    async def _start_delivery(
        self, link: NatsLink, engine: AsyncEngine, directory: Directory, history: TrackedHistory
    ) -> None:
        self._resolver = resolver = CachingResolver(self._servers, self._clock)
        self._closing.push_async_callback(resolver.close)
        await resolver.start()
        events = JetStreamEventLog(link, "domains")
        self._closing.push_async_callback(events.close)
        self._reader = JetStreamSpoolReader(link, self._common.spool_partitions)
        self._closing.push_async_callback(self._reader.close)
        mail = self._common.home / "mail"
        owner = await take_owner_in_time(mail, socket.gethostname())
        self._closing.callback(owner.leave)
        if owner.because:
            log.warning("what is claimed will stay so for a while after a crash", because=owner.because)
        self._delivery = DeliveryService(
            self._reader,
            JetStreamSpool(link, self._common.spool_partitions),
            ObjectContentStore(link),
            directory,
            QueueRepository(engine, owner.name),
            history,
            events,
            resolver,
            settings=self._delivery_settings,
            clock=self._clock,
            mail=mail,
            hostname=self._common.hostname,
        )
        self._closing.push_async_callback(self._delivery.stop)
        await self._delivery.start()

    def _details(self) -> Mapping[str, str]:
        """Tell what an operator wants to see, from memory alone."""
        return {
            "at hand": str(self._delivery.messages_at_hand if self._delivery is not None else 0),
            "spool": str(self._reader.state()) if self._reader is not None else "",
            "tracking": (self._recorder.trouble if self._recorder is not None else "") or "ok",
        }

    def _troubles(self) -> Iterator[str]:
        """Tell what an operator should look at, from memory alone."""
        if self._delivery is not None and self._is_serving and not self._delivery.is_at_work:
            yield "no mail is taken from the spool: restart this instance"
        if self._delivery is not None:
            yield from self._delivery.troubles
        if self._reader is not None:
            yield from (f"spool: {trouble}" for trouble in self._reader.state().troubles)
        if self._recorder is not None and self._recorder.trouble:
            yield f"tracking waits: {self._recorder.trouble}"
        if self._resolver is not None and self._resolver.trouble:
            yield f"next hops cannot be looked up: {self._resolver.trouble}"
        if self._stored is not None and self._stored.trouble:
            yield self._stored.trouble
        if self._config is not None and self._config.trouble:
            yield self._config.trouble

    def _health_server(self) -> HealthServer | None:
        listen = self._settings.health_listen
        return HealthServer(listen, self.is_ready, "TRIPOST_DOMAINS_HEALTH_LISTEN") if listen is not None else None


def main() -> None:
    """Run the service until it is told to stop."""
    run("domains", DomainsService)
