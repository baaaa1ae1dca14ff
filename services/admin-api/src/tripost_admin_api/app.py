"""Joins all parts of admin-api."""

import asyncio
from datetime import timedelta
from importlib import import_module
from typing import Final

import structlog

from tripost_admin_api.access.authentication import Authenticator
from tripost_admin_api.access.passwords import Passwords
from tripost_admin_api.access.roll import TokenRoll
from tripost_admin_api.access.throttle import LoginThrottle
from tripost_admin_api.adapters.bootstrap import Bootstrap, Places
from tripost_admin_api.adapters.cli_token import CliToken
from tripost_admin_api.adapters.https_server import HttpsServer, tls_context
from tripost_admin_api.adapters.nats_cluster import NatsCluster
from tripost_admin_api.api.application import build_application
from tripost_admin_api.api.former import REMOVALS
from tripost_admin_api.api.parts import Parts
from tripost_admin_api.configuration.audit_retention import AuditRetention
from tripost_admin_api.configuration.changes import Database
from tripost_admin_api.configuration.dropped_contents import DroppedContents
from tripost_admin_api.configuration.publishing import SnapshotPublisher
from tripost_admin_api.configuration.queue_facts import FactPublisher
from tripost_admin_api.settings import AdminSettings
from tripost_shared.certificate_renewal import Renewal
from tripost_shared.certificates import ensure_self_signed, local_names
from tripost_shared.clock import SystemClock
from tripost_shared.database.engine import open_engine
from tripost_shared.database.migrate import upgrade
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.home import make_home
from tripost_shared.logins.sealing import login_key
from tripost_shared.nodes import serve_status
from tripost_shared.runner import run
from tripost_shared.settings import CommonSettings, DatabaseSettings, SettingsError
from tripost_shared.sockets import listening_socket

log = structlog.get_logger()

NAME: Final = "admin-api"
FIRST_PAUSE: Final = timedelta(seconds=0.2)
LONGEST_PAUSE: Final = timedelta(seconds=5)
LAST_PUBLISHING_WITHIN: Final = timedelta(seconds=1)
LAZY_IMPORTS: Final = ("anyio._backends._asyncio", "encodings.idna", "multiprocessing.resource_tracker")
ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 (compared with, never bound)


class AdminService:
    """The service: it answers while NATS is away, and waits for the database at start."""

    def __init__(self, settings: CommonSettings, admin: AdminSettings | None = None) -> None:
        self._settings = settings
        self._home = settings.home.absolute()
        self._admin = admin or AdminSettings()
        self._joining: asyncio.Task[None] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._forgetting: asyncio.Task[None] | None = None
        self._reading_roll: asyncio.Task[None] | None = None
        self._purging: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._server: HttpsServer | None = None

    def bind(self) -> None:
        """Make the state's folder and the certificate if there is none, and open the socket. Raises SettingsError."""
        make_home(self._settings)
        database = DatabaseSettings()
        self._database_url = database.url(self._home)
        self._key = login_key(database)
        self._engine = open_engine(self._database_url)
        own_certificate = self._admin.certificate or self._admin.key
        self._certificate = self._admin.certificate or self._home / "tls" / "admin.crt"
        key = self._admin.key or self._home / "tls" / "admin.key"
        if own_certificate is None:
            try:
                ensure_self_signed(self._certificate, key, (*local_names(), self._settings.hostname))
            except OSError as error:
                raise SettingsError(f"TRIPOST_HOME: no certificate can be made: {error}") from error
        elif self._admin.certificate is None or self._admin.key is None:
            raise SettingsError("TRIPOST_ADMIN_CERTIFICATE and TRIPOST_ADMIN_KEY go together; one of them is not set")
        tls = tls_context(self._certificate, key)
        self._renewal = Renewal(tls, self._certificate, key, tls_context)
        listener = listening_socket(self._admin.listen, "TRIPOST_ADMIN_LISTEN")
        self._join()
        self._server = HttpsServer(build_application(self._parts), listener, tls, self._admin.max_connections)
        for name in LAZY_IMPORTS:
            import_module(name)

    def _join(self) -> None:
        clock = SystemClock()
        database = Database(self._engine, clock)
        passwords = Passwords(key=self._key)
        self._cluster = NatsCluster(self._settings, NAME)
        publisher = SnapshotPublisher(database, self._cluster)
        database.on_change(publisher.published)
        self._places = Places.under(self._home, self._admin.cli_token_file)
        roll = TokenRoll(database, clock, CliToken(self._places.cli_token))
        self._audit = AuditRetention(database, clock, timedelta(days=self._admin.audit_days), REMOVALS)
        self._parts = Parts(
            database=database,
            cluster=self._cluster,
            publisher=publisher,
            passwords=passwords,
            authenticator=Authenticator(database, passwords, LoginThrottle(clock), roll, clock),
            roll=roll,
            facts=FactPublisher(database, self._cluster),
            dropped=DroppedContents(database, self._cluster, clock),
            clock=clock,
            session_lifetime=timedelta(hours=self._admin.session_hours),
            home=self._home,
            certificate_trouble=lambda: self._renewal.trouble,
        )

    @property
    def url(self) -> str:
        """Where a client on this machine finds the API."""
        host = self._admin.listen.host
        if host in ANY_ADDRESS:
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104 (compared with, never bound)
        port = self._server.port if self._server is not None else self._admin.listen.port
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    async def start(self) -> None:
        """Serve, wait for the database, make what a first start needs; NATS may come later. Raises SettingsError."""
        assert self._server is not None, "bind comes first"  # noqa: S101 (the runner's order)
        await self._server.start()
        self._renewing = asyncio.create_task(self._renewal.follow())
        self._joining = asyncio.create_task(self._join_cluster())
        await self._prepare_database()
        self._parts.started.set()
        self._publishing = asyncio.create_task(self._parts.publisher.run())
        self._telling = asyncio.create_task(self._parts.facts.run())
        self._forgetting = asyncio.create_task(self._parts.dropped.run())
        self._reading_roll = asyncio.create_task(self._parts.roll.run())
        self._purging = asyncio.create_task(self._audit.run())
        log.info("serving", url=self.url)

    async def _join_cluster(self) -> None:
        bus = await self._cluster.open()
        await serve_status(
            bus,
            NAME,
            is_ready=self._parts.started.is_set,
            details=lambda: {"listen": str(self._admin.listen)},
            config_revision=lambda: self._parts.publisher.settled_revision,
            troubles=self._parts.troubles,
        )

    async def _prepare_database(self) -> None:
        bootstrap = Bootstrap(self._parts.database, self._parts.passwords, self._places)
        certificate = self._certificate if self._admin.certificate is None else None
        pause = FIRST_PAUSE
        while True:
            try:
                await upgrade(self._database_url)
                await bootstrap.run(self.url, certificate)
                await self._parts.roll.read()
            except DatabaseUnavailable as error:
                log.warning("the database cannot be used, trying again", because=str(error))
            else:
                return
            await asyncio.sleep(pause.total_seconds())
            pause = min(pause * 2, LONGEST_PAUSE)

    async def drain(self) -> None:
        """Finish the requests at hand, publish what they changed."""
        if self._server is not None:
            await self._server.stop()
        self._parts.publisher.stop()
        self._parts.facts.stop()
        last = {task for task in (self._publishing, self._telling) if task is not None}
        if last:
            await asyncio.wait(last, timeout=LAST_PUBLISHING_WITHIN.total_seconds())

    async def stop(self) -> None:
        """Close everything."""
        await self.drain()
        tasks = (
            self._joining,
            self._publishing,
            self._telling,
            self._forgetting,
            self._reading_roll,
            self._purging,
            self._renewing,
        )
        unfinished = {task for task in tasks if task is not None and not task.done()}
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished, timeout=LAST_PUBLISHING_WITHIN.total_seconds())
        await self._cluster.close()
        await self._engine.dispose()


def main() -> None:
    """Run the service."""
    run(NAME, AdminService)
