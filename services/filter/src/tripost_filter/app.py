"""The filter service: builds all objects in one place and joins them."""

from collections.abc import Iterator
from datetime import timedelta

from tripost_filter.checks.greylist import KnownTriplets
from tripost_filter.content_reader import ContentReader
from tripost_filter.judge import Judge
from tripost_filter.registry import Surroundings
from tripost_filter.settings import FilterSettings
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import SystemClock
from tripost_shared.config.kv import KvConfigSource
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.contracts.config import FILTER_KEY, FilterConfig
from tripost_shared.contracts.filter import CONNECTION, MESSAGE, RECIPIENTS
from tripost_shared.dns.resolver import CachingResolver
from tripost_shared.dns.system import system_servers
from tripost_shared.health import HealthServer
from tripost_shared.kv.jetstream import GREYLIST_BUCKET, JetStreamBucket
from tripost_shared.nodes import serve_status
from tripost_shared.provision import wait_until_provisioned
from tripost_shared.runner import run
from tripost_shared.settings import CommonSettings


class FilterService:
    """Answers edge's questions about connections, recipients and messages; it keeps no state of its own."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._own = FilterSettings()
        self._clock = SystemClock()
        self._servers = system_servers(settings)
        self._health: HealthServer | None = None
        if self._own.health_listen is not None:
            self._health = HealthServer(self._own.health_listen, self.is_ready, "TRIPOST_FILTER_HEALTH_LISTEN")
        self._link: NatsLink | None = None
        self._bus: NatsBus | None = None
        self._config: KvConfigSource | None = None
        self._resolver: CachingResolver | None = None
        self._serving = False

    def is_ready(self) -> bool:
        """Whether questions are answered now."""
        return self._serving and self._link is not None and self._link.is_connected

    def bind(self) -> None:
        """Open the health server's socket, and read the NATS password."""
        self._settings.nats_password()
        if self._health is not None:
            self._health.bind()

    async def start(self) -> None:
        """Connect, read the configuration, and answer from then on."""
        if self._health is not None:
            await self._health.start()
        self._link = link = await NatsLink.connect(self._settings, "filter")
        self._resolver = CachingResolver(self._servers, self._clock)
        await self._resolver.start()
        await wait_until_provisioned(link, self._settings)
        self._config = KvConfigSource(link)
        judge = await self._build_judge(link, self._config, self._resolver)
        self._bus = bus = NatsBus(link)
        await bus.serve(CONNECTION, judge.connection)
        await bus.serve(RECIPIENTS, judge.recipients)
        await bus.serve(MESSAGE, judge.message)
        await serve_status(bus, "filter", self.is_ready, judge.details, lambda: judge.revision, troubles=self._troubles)
        self._serving = True

    def _troubles(self) -> Iterator[str]:
        """Tell what keeps the checks from their work, or from the newest policy."""
        if self._resolver is not None and self._resolver.trouble:
            yield self._resolver.trouble
        if self._config is not None and self._config.trouble:
            yield self._config.trouble

    async def _build_judge(self, link: NatsLink, config: KvConfigSource, resolver: CachingResolver) -> Judge:
        known = KnownTriplets(self._clock, self._own.greylist_memory_entries)
        triplets = JetStreamBucket(link, GREYLIST_BUCKET)
        around = Surroundings(self._settings.hostname, self._clock, resolver, triplets, known)
        reader = ContentReader(
            ObjectContentStore(link),
            at_once=self._own.stored_messages_at_once,
            max_octets=self._own.max_examined_octets,
            within=timedelta(seconds=self._own.content_timeout_seconds),
        )
        return Judge(await config.watch_known(FILTER_KEY, FilterConfig), around, reader)

    async def drain(self) -> None:
        """Take no more questions, answer those at hand."""
        self._serving = False
        if self._bus is not None:
            await self._bus.drain()

    async def stop(self) -> None:
        """Close everything."""
        self._serving = False
        if self._config is not None:
            await self._config.close()
        if self._resolver is not None:
            await self._resolver.close()
        if self._link is not None:
            await self._link.close()
        if self._health is not None:
            await self._health.stop()


def main() -> None:
    """Run the service until it is told to stop."""
    run("filter", FilterService)
