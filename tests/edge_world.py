"""Edge with fakes for all other tiers: on real sockets of loopback, or its stages alone."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dialog import Dialog
from servers import free_port
from tripost_edge.edge import Edge
from tripost_edge.limits.load import MemoryUse
from tripost_edge.listeners.tls import TlsContexts, TlsPolicy
from tripost_edge.session.session import Session
from tripost_edge.settings import EdgeSettings
from tripost_edge.worker_sockets import open_sockets
from tripost_shared.bans.memory import MemoryBans
from tripost_shared.bus.memory import MemoryBus
from tripost_shared.bus.memory_telling import MemoryTelling
from tripost_shared.bus.port import Bus
from tripost_shared.clock import Clock, FrozenClock, SystemClock
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.contracts.domains import (
    AUTHENTICATE,
    MAY_SEND,
    RESOLVE,
    AuthenticateAnswer,
    AuthenticateQuestion,
    MaySendAnswer,
    MaySendQuestion,
    RecipientKind,
    ResolveAnswer,
    ResolveQuestion,
)
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.filter import (
    CONNECTION,
    MESSAGE,
    RECIPIENTS,
    Action,
    ConnectionQuestion,
    MessageQuestion,
    RecipientsAnswer,
    RecipientsQuestion,
    Verdict,
)
from tripost_shared.contracts.listeners import ListenerConfig, ListenersConfig
from tripost_shared.contracts.sasl import (
    MECHANISMS,
    SASL,
    MechanismsAnswer,
    MechanismsQuestion,
    SaslAnswer,
    SaslQuestion,
)
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.counters.memory import MemoryCounters
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.client import Client, ListenerKind
from tripost_shared.settings import CommonSettings
from tripost_shared.spool.memory import MemoryEventLog, MemorySpool

HOSTNAME = "mx.tripost.example"
ACCEPT = Verdict(Action.ACCEPT)


@dataclass
class OtherTiers:
    """What domains and filter answer: tables that a test fills. `asked` holds every question, in order."""

    kinds: dict[str, RecipientKind] = field(default_factory=dict)  # other recipients: unknown
    passwords: dict[str, str] = field(default_factory=dict)
    grants: set[tuple[str, str]] = field(default_factory=set)
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    sasl: Callable[[SaslQuestion], Awaitable[SaslAnswer]] | None = None
    connection: Verdict = ACCEPT
    recipients: dict[str, Verdict] = field(default_factory=dict)
    message: Verdict = ACCEPT
    asked: list[msgspec.Struct] = field(default_factory=list)

    async def serve(self, bus: Bus) -> None:
        """Answer on the bus."""
        await bus.serve(RESOLVE, self._resolve)
        await bus.serve(AUTHENTICATE, self._authenticate)
        await bus.serve(SASL, self._sasl)
        await bus.serve(MECHANISMS, self._mechanisms)
        await bus.serve(MAY_SEND, self._may_send)
        await bus.serve(CONNECTION, self._connection)
        await bus.serve(RECIPIENTS, self._recipients)
        await bus.serve(MESSAGE, self._message)

    def questions(self, kind: type[Any]) -> list[Any]:
        """Give the questions of one kind."""
        return [question for question in self.asked if isinstance(question, kind)]

    async def _resolve(self, question: ResolveQuestion) -> ResolveAnswer:
        self.asked.append(question)
        return ResolveAnswer(tuple(self.kinds.get(one, RecipientKind.UNKNOWN) for one in question.recipients))

    async def _authenticate(self, question: AuthenticateQuestion) -> AuthenticateAnswer:
        self.asked.append(question)
        accepted = self.passwords.get(question.username) == question.password
        if not accepted:
            return AuthenticateAnswer(accepted=False)
        return AuthenticateAnswer(
            accepted=True, login=question.username, credential=self._credential(question.username)
        )

    async def _sasl(self, question: SaslQuestion) -> SaslAnswer:
        self.asked.append(question)
        assert self.sasl is not None, question
        return await self.sasl(question)

    async def _mechanisms(self, question: MechanismsQuestion) -> MechanismsAnswer:
        return MechanismsAnswer(self.mechanisms)

    async def _may_send(self, question: MaySendQuestion) -> MaySendAnswer:
        self.asked.append(question)
        return MaySendAnswer(
            (question.login, question.reverse_path) in self.grants,
            login_stands=question.credential in {"", self._credential(question.login)},
        )

    def _credential(self, login: str) -> str:
        return f"name of {self.passwords[login]}" if login in self.passwords else ""

    async def _connection(self, question: ConnectionQuestion) -> Verdict:
        self.asked.append(question)
        return self.connection

    async def _recipients(self, question: RecipientsQuestion) -> RecipientsAnswer:
        self.asked.append(question)
        client = self.connection if question.and_client else None
        if client is not None and client.action.refuses and not question.client.is_trusted:
            return RecipientsAnswer((), client)
        return RecipientsAnswer(tuple(self.recipients.get(one, ACCEPT) for one in question.recipients), client)

    async def _message(self, question: MessageQuestion) -> Verdict:
        self.asked.append(question)
        return self.message


@dataclass
class OneContext:
    """TLS by one context, whatever listeners want."""

    only: ssl.SSLContext

    def context(self, _policy: TlsPolicy) -> ssl.SSLContext:
        return self.only


ANY_PORT = dict.fromkeys(("mx_listen", "submission_listen", "submissions_listen", "proxy_listener"), "127.0.0.1:0")


class EdgeWorld:
    """One edge and what surrounds it. `ann@dest.example` is a mailbox of ours; `user@dest.example` may log in."""

    def __init__(
        self,
        tls: ssl.SSLContext | TlsContexts,
        *,
        clock: Clock | None = None,
        bans: MemoryBans | None = None,
        counters: MemoryCounters | None = None,
        telling: MemoryTelling | None = None,
        memory_in_use: Callable[[], MemoryUse] = MemoryUse,
        **settings: Any,
    ) -> None:
        clock = clock or SystemClock()
        self.bus = MemoryBus()
        self.bans = bans or MemoryBans(clock)
        self.counters = counters or MemoryCounters(clock)
        self.telling = telling or MemoryTelling()
        self.spool = MemorySpool()
        self.store = MemoryContentStore()
        self.log = MemoryEventLog()
        self.names = TableResolver()
        self.tiers = OtherTiers(
            kinds={
                "ann@dest.example": RecipientKind.LOCAL,
                "bob@dest.example": RecipientKind.LOCAL,
                "user@dest.example": RecipientKind.LOCAL,
                "off@dest.example": RecipientKind.DISABLED,
                "x@relayed.example": RecipientKind.RELAY,
                "far@elsewhere.example": RecipientKind.FOREIGN,
                "postmaster": RecipientKind.LOCAL,
            },
            passwords={"user@dest.example": "secret"},
            grants={("user@dest.example", "user@dest.example")},
        )
        at_once = {
            "auth_failure_delay_seconds": 0,
            "error_delay_seconds": 0,
            "shed_lag_seconds": 0,
            "greeting_delay_seconds": 0,
        }
        self.settings = EdgeSettings(**{**ANY_PORT, "health_listen": None, **at_once, **settings})
        self.edge = Edge(
            CommonSettings(hostname=HOSTNAME),
            self.settings,
            OneContext(tls) if isinstance(tls, ssl.SSLContext) else tls,
            bus=self.bus,
            spool=self.spool,
            store=self.store,
            events=self.log,
            bans=self.bans,
            resolver=self.names,
            counters=self.counters,
            telling=self.telling,
            memory_in_use=memory_in_use,
            clock=clock,
        )
        self.addresses: dict[str, tuple[str, int]] = {}

    async def serve(self) -> "EdgeWorld":
        """Let the other tiers answer."""
        await self.tiers.serve(self.bus)
        return self

    async def start(self) -> "EdgeWorld":
        """Listen, on ports that the system chooses: `mx`, `submission`, `submissions`, `proxy`."""
        await self.serve()
        await self.edge.start(open_sockets(self.settings)[0].listeners)
        self.addresses = {listener.profile.name: listener.address for listener in self.edge.listeners}
        return self

    async def configure(self, *listeners: ListenerConfig) -> None:
        """Have these listeners configured and no others, and wait until they are open, or cannot be."""
        self.edge.take_listeners(ListenersConfig(listeners=listeners))
        async with asyncio.timeout(5):
            while not self.edge.are_listeners_settled:  # noqa: ASYNC110 (nothing tells when)
                await asyncio.sleep(0.001)

    async def listen_for_proxies(self, name: str, kind: ListenerKind) -> tuple[str, int]:
        """Open one more listener, of clients that a proxy announces; gives its address."""
        address = ("127.0.0.1", free_port())
        proxies = tuple(self.settings.proxy_trusted_networks)
        await self.configure(ListenerConfig(name, address="{}:{}".format(*address), kind=kind, proxies=proxies))
        return address

    async def stop(self) -> None:
        """End all sessions."""
        self.edge.abort()
        async with asyncio.timeout(10):
            await self.edge.registry.drain()

    async def dialog(self, listener: str = "mx", **options: Any) -> Dialog:
        """Connect a client."""
        return await Dialog.open(self.addresses[listener], **options)

    async def greeted(self, listener: str = "mx", **options: Any) -> Dialog:
        """Connect a client that has said EHLO."""
        dialog = await self.dialog(listener, **options)
        await dialog("S: 220 *\nC: EHLO client.example\nS: 250 *")
        return dialog

    async def until_sessions(self, count: int) -> None:
        """Wait until so many sessions are counted."""
        deadline = asyncio.get_running_loop().time() + 5
        while len(self.edge.registry) != count:
            assert asyncio.get_running_loop().time() < deadline, f"{len(self.edge.registry)} sessions, not {count}"
            await asyncio.sleep(0.001)

    @property
    def spooled(self) -> list[SpooledMessage]:
        """What is in the spool."""
        return self.spool.messages

    def facts(self, fact: Fact) -> list[Event]:
        """Give the recorded facts of one kind."""
        return [event for event in self.log.events if event.fact is fact]


def a_session(**client: Any) -> Session:
    """A session whose client has said EHLO, from 192.0.2.7."""
    facts = {"address": "192.0.2.7", "helo": "client.example", "esmtp": True, **client}
    return Session("1k3v9q2m8f0abcde", Client(**facts))


__all__ = ["ACCEPT", "HOSTNAME", "EdgeWorld", "FrozenClock", "OtherTiers", "a_session"]
