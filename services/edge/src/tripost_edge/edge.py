"""Edge without its adapters: stages, what they remember, and the listeners, joined.

It is the same with real adapters (app.py) and with fakes (tests).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import structlog

from tripost_edge import metrics
from tripost_edge.defence.bans import BansInForce
from tripost_edge.defence.load_watch import LoadWatch
from tripost_edge.defence.memory import Memory
from tripost_edge.defence.offences import Offences
from tripost_edge.defence.session_counts import SessionCounts
from tripost_edge.firewall.networks import Networks, RelayAccess
from tripost_edge.firewall.offences import Offence
from tripost_edge.firewall.xclient_access import XclientAccess
from tripost_edge.limits.crowd import Crowd
from tripost_edge.limits.directory_memory import DirectoryMemory
from tripost_edge.limits.load import MemoryUse
from tripost_edge.limits.login_failures import LoginFailures
from tripost_edge.limits.one_address import OneAddress
from tripost_edge.limits.rule_hits import RuleHits
from tripost_edge.limits.short_memory import ShortMemory
from tripost_edge.limits.told_refusals import ToldRefusals
from tripost_edge.listeners.context import Context, ListenerProfile, Stages
from tripost_edge.listeners.listener import Listener
from tripost_edge.listeners.open_listeners import OpenListeners
from tripost_edge.listeners.registry import Registry
from tripost_edge.listeners.sockets import BoundBefore
from tripost_edge.listeners.tls import TlsContexts
from tripost_edge.listeners.wanted import wanted_listeners
from tripost_edge.ports import Bus, Clock, ContentStore, Counters, EventLog, HeardBans, Resolver, Spool, Telling
from tripost_edge.session.session import Session
from tripost_edge.settings import EdgeSettings
from tripost_edge.stages.access import Access
from tripost_edge.stages.auth import Auth
from tripost_edge.stages.authors import Authors
from tripost_edge.stages.connect import Connect
from tripost_edge.stages.control import Control
from tripost_edge.stages.data import Data
from tripost_edge.stages.hello import Hello
from tripost_edge.stages.journal import Journal
from tripost_edge.stages.mail import Mail
from tripost_edge.stages.rates import RateLimits
from tripost_edge.stages.rcpt import Rcpt
from tripost_edge.stages.rights import Rights
from tripost_shared.contracts.access import AccessConfig
from tripost_shared.contracts.config import DirectoryChange, EdgeConfig, FilterConfig
from tripost_shared.contracts.control import ControlConfig
from tripost_shared.contracts.edges import FAILED_LOGINS_SUBJECT, FailedLogin
from tripost_shared.contracts.listeners import ListenersConfig
from tripost_shared.contracts.nodes import TRUSTED_PROXIES, ListenerState
from tripost_shared.counters.gathered import GatheredCounts
from tripost_shared.edge_limits import EdgeLimits, SessionLimits
from tripost_shared.settings import CommonSettings

log = structlog.get_logger()

PATIENT_SECONDS: Final = 86_400.0  # how long a client is not made to wait for its greeting that has waited once
PATIENT_CAPACITY: Final = 100_000


class Edge:
    """Stages and listeners of one worker."""

    def __init__(
        self,
        common: CommonSettings,
        settings: EdgeSettings,
        tls: TlsContexts,
        *,
        bus: Bus,
        spool: Spool,
        store: ContentStore,
        events: EventLog,
        bans: HeardBans,
        resolver: Resolver,
        counters: Counters,
        telling: Telling,
        clock: Clock,
        node: str = "",
        memory_in_use: Callable[[], MemoryUse] | None = None,
    ) -> None:
        self._settings = settings
        self._own_limits = limits = settings.replaced_by()
        self._limits = limits
        self._directory = DirectoryMemory(clock, settings.directory_memory_seconds)
        self._crowd = Crowd(clock, limits)
        self.counts = SessionCounts(self._crowd, telling, clock)
        self.load = LoadWatch(limits, memory_in_use or Memory().use)
        self.registry = Registry(limits.sessions_limit, self.counts, lambda: self.load.is_overloaded)
        self._relay = RelayAccess()
        self._xclient = XclientAccess()
        self.bans = BansInForce(bans, self._relay, clock)
        self.offences = Offences(counters, self.bans, clock, node)
        self._told = ToldRefusals(clock, limits.refusals_told_per_network)
        self._telling = telling
        self._login_failures = LoginFailures(
            clock,
            asyncio.Event,
            limit=limits.auth_failures_per_network,
            seconds=limits.auth_failures_memory_seconds,
            tell=self._tell_failed_login,
        )
        telling.hear(FAILED_LOGINS_SUBJECT, FailedLogin, self._hear_failed_login)
        journal = Journal(events, clock, self._told)
        self.hits = RuleHits()
        self._one_address = OneAddress(clock)
        self._access = Access(resolver, journal, self.hits, clock)
        self._connect = connect = Connect(bus, clock, remember_seconds=settings.connection_memory_seconds)
        rights = Rights(bus, self._directory)
        self._rate_counts = GatheredCounts(counters, clock, metrics.rates_counted_alone.inc)
        self._control = control = Control(RateLimits(self._rate_counts, journal, clock), journal)
        self._authors = Authors(rights)
        stages = Stages(
            access=self._access,
            connect=connect,
            hello=Hello(common.hostname),
            auth=Auth(bus, journal, self._login_failures, self._directory, self._note_failed_login),
            mail=Mail(rights, control, journal, hostname=common.hostname),
            rcpt=Rcpt(bus, connect, self._directory, control, journal),
            data=Data(
                bus,
                rights,
                control,
                self._authors,
                spool,
                store,
                journal,
                clock,
                hostname=common.hostname,
                inline_octets=settings.inline_octets,
            ),
        )
        self.context = Context(
            hostname=common.hostname,
            stages=stages,
            journal=journal,
            tls=tls,
            registry=self.registry,
            relay=self._relay,
            bans=self.bans,
            offences=self.offences,
            patient=ShortMemory(clock, PATIENT_SECONDS, PATIENT_CAPACITY),
            xclient=self._xclient,
            one_address=self._one_address,
            clock=clock,
        )
        self._listeners = OpenListeners(self.context, self._with_limits, share=settings.workers > 1)
        self.take_listeners(ListenersConfig())

    @property
    def listeners(self) -> list[Listener]:
        """Those that are open."""
        return list(self._listeners)

    @property
    def are_listeners_settled(self) -> bool:
        """Whether those that were taken last are open, or cannot be."""
        return self._listeners.is_settled

    def take_config(self, config: EdgeConfig) -> None:
        """Put a configuration in force: limits at once, the rest for transactions that begin from now on."""
        self._relay.replace(_networks(config.relay_networks, "relay networks"))
        self._xclient.networks = _networks(config.xclient_networks, "XCLIENT networks")
        self._relay.trust_speakers(self._xclient.networks)
        self.offences.policy = config.bans
        self._authors.is_checked = config.check_author
        self._take_limits(self._own_limits.replaced_by(config.limits))

    def _take_limits(self, limits: EdgeLimits) -> None:
        self._limits = limits
        self.registry.set_limit(limits.sessions_limit)
        self._crowd.limits = limits
        self.load.limits = limits
        self._told.limit = limits.refusals_told_per_network
        self._login_failures.set_limit(limits.auth_failures_per_network, limits.auth_failures_memory_seconds)
        self._listeners.refresh()

    def _with_limits(self, profile: ListenerProfile) -> ListenerProfile:
        own = {name: value for name, value in profile.own_limits.items() if name in SessionLimits.model_fields}
        return replace(profile, limits=self._limits.replaced_by(own))

    def take_listeners(self, config: ListenersConfig) -> None:
        """Have these listeners open, with the built-in ones: profiles at once, addresses soon."""
        wanted = wanted_listeners(self._settings, config)
        self._relay.trust_proxies(one.profile.proxies for one in wanted.values() if one.profile.proxies is not None)
        self._listeners.take(wanted)

    def take_access(self, config: AccessConfig) -> None:
        """Put access rules in force."""
        self._access.take_config(config)

    def take_control(self, config: ControlConfig) -> None:
        """Put control rules and rates in force, for commands that come from now on."""
        self._control.take(config)

    def _tell_failed_login(self, network: str, mark: int) -> None:
        self._telling.tell(FAILED_LOGINS_SUBJECT, FailedLogin(self.counts.worker, network, mark))

    def _hear_failed_login(self, told: FailedLogin) -> None:
        if told.worker != self.counts.worker:
            self._login_failures.hear(told.network, told.mark)

    def _note_failed_login(self, session: Session) -> None:
        self.offences.note(session, Offence.AUTHENTICATION)

    def take_policy(self, policy: FilterConfig) -> None:
        """Drop what is remembered of the filter's judgement by an older policy."""
        self._connect.take_policy(policy.revision)

    def take_directory_change(self, change: DirectoryChange) -> None:
        """Drop what is remembered of the directory."""
        self._directory.take(change)
        log.debug("directory changed", revision=change.revision)

    def details(self) -> dict[str, str]:
        """Say what is worth knowing of this worker."""
        return {"sessions": str(len(self.registry)), TRUSTED_PROXIES: ", ".join(self._relay.trusted_proxies)}

    def listener_states(self) -> Iterator[ListenerState]:
        """Tell of each listener where it is open, and what is wrong."""
        return self._listeners.states()

    def troubles(self) -> Iterator[str]:
        """Say what somebody should look at."""
        troubles = (self.load.trouble, self.bans.trouble, self._control.trouble, self._one_address.trouble)
        yield from (trouble for trouble in troubles if trouble)
        yield from self._listeners.troubles()

    async def start(self, sockets: BoundBefore) -> None:
        """Take clients on all listeners, once bans are known; `sockets` are bound already."""
        await self.bans.start()
        self.counts.start()
        self.load.start()
        await self._listeners.start(sockets)

    async def drain(self) -> None:
        """Take no more clients; end sessions as soon as they have no transaction open."""
        self._listeners.stop()
        await self.registry.drain()
        await self._rate_counts.close()

    def abort(self) -> None:
        """Cut off whoever is left."""
        self.bans.stop()
        self.counts.stop()
        self.load.stop()
        self.offences.stop()
        self._listeners.stop()
        self.registry.abort()


def _networks(texts: Sequence[str], name: str) -> Networks:
    """Read networks; those that cannot be read are left out, and told."""
    networks = Networks(texts)
    if networks.invalid:
        log.warning(f"{name} left out: not in CIDR form", networks=networks.invalid)
    return networks
