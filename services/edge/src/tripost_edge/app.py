"""Edge, joined: sockets, workers, and the adapters below stages and listeners."""

import asyncio
from collections.abc import Iterator
from itertools import chain

import structlog

from tripost_edge.defence.told_hits import ToldHits
from tripost_edge.edge import Edge
from tripost_edge.listeners.certificates import Certificates
from tripost_edge.listeners.descriptors import room_for_sessions
from tripost_edge.listeners.tls import TlsContexts
from tripost_edge.prefork import Workers
from tripost_edge.settings import EdgeSettings
from tripost_edge.worker_beats import WorkerBeats
from tripost_edge.worker_deaths import WorkerDeaths
from tripost_edge.worker_sockets import WorkerSockets, open_sockets
from tripost_shared import privileges
from tripost_shared.bans.kv import KvBans
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.telling import NatsTelling
from tripost_shared.capabilities import CAP_NET_BIND_SERVICE
from tripost_shared.clock import SystemClock
from tripost_shared.config.kv import KvConfigSource
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.access import ACCESS_KEY, AccessConfig
from tripost_shared.contracts.config import (
    DIRECTORY_KEY,
    EDGE_KEY,
    FILTER_KEY,
    DirectoryChange,
    EdgeConfig,
    FilterConfig,
)
from tripost_shared.contracts.control import CONTROL_KEY, ControlConfig
from tripost_shared.contracts.listeners import LISTENERS_KEY, ListenersConfig
from tripost_shared.counters.jetstream import JetStreamCounters
from tripost_shared.counters.jetstream_totals import JetStreamTotals
from tripost_shared.dns.resolver import CachingResolver
from tripost_shared.dns.system import system_servers
from tripost_shared.health import HealthServer
from tripost_shared.nodes import serve_status
from tripost_shared.provision import wait_until_provisioned
from tripost_shared.runner import run
from tripost_shared.settings import CommonSettings
from tripost_shared.spool.bundle import MAX_MESSAGES
from tripost_shared.spool.events import JetStreamEventLog
from tripost_shared.spool.jetstream import JetStreamSpool

log = structlog.get_logger()


class EdgeService:
    """Edge as the runner drives it."""

    def __init__(self, common: CommonSettings) -> None:
        self._common = common
        self._settings = EdgeSettings()
        self._dns_servers = system_servers(common)
        self._worker = 0
        self._deaths = WorkerDeaths(self._settings.workers)
        self._beats = WorkerBeats(self._settings.workers)
        self._beating: asyncio.Task[None] | None = None
        self._told_hits: ToldHits | None = None
        self._telling_hits: asyncio.Task[None] | None = None
        self._sockets: WorkerSockets | None = None
        self._certificates: Certificates | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._health: HealthServer | None = None
        self._link: NatsLink | None = None
        self._bus: NatsBus | None = None
        self._config: KvConfigSource | None = None
        self._events: JetStreamEventLog | None = None
        self._resolver: CachingResolver | None = None
        self._edge: Edge | None = None

    def bind(self) -> None:
        """Load TLS, open all sockets; with several workers fork them here, root already given up."""
        folder = self._settings.certificates or self._common.home / "tls" / "names"
        self._certificates = Certificates(*self._settings.tls_files(self._common), folder, SystemClock())
        self._settings.sessions_limit = room_for_sessions(self._settings.sessions_limit)
        sockets = open_sockets(self._settings)
        if len(sockets) > 1:
            privileges.give_up_root(self._common.run_user, keeping=CAP_NET_BIND_SERVICE)
            self._worker = Workers(sockets, self._deaths, self._beats).fork_all()
        self._sockets = sockets[self._worker]
        if self._sockets.health is not None:
            self._health = HealthServer(self._sockets.health, self._is_ready)

    async def start(self) -> None:
        """Connect to NATS, wait for streams and configuration, then take clients."""
        if self._certificates is None or self._sockets is None:
            raise RuntimeError("start before bind")
        if self._settings.workers > 1:
            self._beating = asyncio.create_task(self._beats.beat(self._worker))
        self._renewing = asyncio.create_task(self._certificates.follow())
        if self._health is not None:
            await self._health.start()
        self._link = link = await NatsLink.connect(self._common, "edge")
        await wait_until_provisioned(link, self._common)
        self._bus = NatsBus(link)
        self._events = JetStreamEventLog(link, "edge")
        self._config = source = KvConfigSource(link)
        self._resolver = CachingResolver(self._dns_servers, SystemClock())
        await self._resolver.start()
        edge = self._build_edge(self._certificates, link, self._bus, self._events, self._resolver)
        await self._follow_configuration(edge, source)
        await edge.start(self._sockets.listeners)
        self._edge = edge
        self._told_hits = ToldHits(edge.hits, JetStreamTotals(link))
        self._telling_hits = asyncio.create_task(self._told_hits.run())
        self._deaths.forget(self._worker)
        await serve_status(
            self._bus,
            "edge",
            self._is_ready,
            edge.details,
            lambda: source.revision,
            troubles=lambda: chain(edge.troubles(), self._deaths.troubles(), self._troubles_of_what_is_followed()),
            node=self._settings.node,
            listeners=edge.listener_states,
        )

    def _troubles_of_what_is_followed(self) -> Iterator[str]:
        for followed in (self._config, self._resolver):
            if followed is not None and followed.trouble:
                yield followed.trouble
        if self._certificates is not None:
            yield from self._certificates.troubles()

    def _build_edge(
        self, tls: TlsContexts, link: NatsLink, bus: NatsBus, events: JetStreamEventLog, resolver: CachingResolver
    ) -> Edge:
        return Edge(
            self._common,
            self._settings,
            tls,
            bus=bus,
            spool=JetStreamSpool(link, self._common.spool_partitions, MAX_MESSAGES),
            store=ObjectContentStore(link),
            events=events,
            bans=KvBans(link, SystemClock()),
            resolver=resolver,
            telling=NatsTelling(link),
            counters=JetStreamCounters(link, SystemClock()),
            clock=SystemClock(),
            node=self._settings.node,
        )

    async def _follow_configuration(self, edge: Edge, source: KvConfigSource) -> None:
        """Put in force what is stored now, and from now on what changes; waits until it can be read."""
        config = await source.watch_known(EDGE_KEY, EdgeConfig)
        edge.take_config(config.current)
        config.on_change(edge.take_config)
        access = await source.watch_known(ACCESS_KEY, AccessConfig)
        edge.take_access(access.current)
        access.on_change(edge.take_access)
        listeners = await source.watch_known(LISTENERS_KEY, ListenersConfig)
        edge.take_listeners(listeners.current)
        listeners.on_change(edge.take_listeners)
        policy = await source.watch_known(FILTER_KEY, FilterConfig)
        edge.take_policy(policy.current)
        policy.on_change(edge.take_policy)
        control = await source.watch_known(CONTROL_KEY, ControlConfig)
        edge.take_control(control.current)
        control.on_change(edge.take_control)
        directory = await source.watch_known(DIRECTORY_KEY, DirectoryChange)
        edge.take_directory_change(directory.current)
        directory.on_change(edge.take_directory_change)

    async def drain(self) -> None:
        """Let transactions at hand end. Workers leave their addresses at once to those of a new first process."""
        if self._health is not None and self._settings.workers > 1:
            await self._health.stop()
        if self._edge is not None:
            await self._edge.drain()

    async def stop(self) -> None:
        """Close everything."""
        if self._edge is not None:
            self._edge.abort()
        if self._told_hits is not None:
            await self._told_hits.tell()
        if self._events is not None:
            await self._events.close()
        if self._config is not None:
            await self._config.close()
        if self._resolver is not None:
            await self._resolver.close()
        if self._link is not None:
            await self._link.close()
        if self._health is not None:
            await self._health.stop()
        for task in (self._beating, self._renewing, self._telling_hits):
            if task is not None:
                task.cancel()

    def _is_ready(self) -> bool:
        edge = self._edge
        return edge is not None and not edge.registry.is_draining and self._bus is not None and self._bus.is_connected


def main() -> None:
    """Run the service."""
    run("edge", EdgeService, keeping=CAP_NET_BIND_SERVICE)
