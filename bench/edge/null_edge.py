"""Edge alone, a process of its own: `python -m bench.edge.null_edge`, its settings in the environment as always.

Everything is as in production (the runner, uvloop, logs, settings, listeners, stages), but the other tiers are a filter
and a directory that agree at once, and a spool and a content store that forget.
"""

from datetime import timedelta
from typing import Any, Final

import msgspec

from tripost_edge.edge import Edge
from tripost_edge.listeners.certificates import Certificates
from tripost_edge.listeners.descriptors import room_for_sessions
from tripost_edge.listeners.sockets import BoundBefore, bind
from tripost_edge.settings import EdgeSettings
from tripost_shared.bans.memory import MemoryBans
from tripost_shared.bus.memory_telling import MemoryTelling
from tripost_shared.clock import SystemClock
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.content.port import ContentWriter
from tripost_shared.contracts.domains import RESOLVE, RecipientKind, ResolveAnswer
from tripost_shared.contracts.events import Event
from tripost_shared.contracts.filter import CONNECTION, MESSAGE, RECIPIENTS, Action, RecipientsAnswer, Verdict
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.contracts.subject import Subject
from tripost_shared.counters.memory import MemoryCounters
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.content import Content
from tripost_shared.runner import run
from tripost_shared.settings import CommonSettings, Listen, SettingsError

ACCEPT: Final = Verdict(Action.ACCEPT)
ANSWERS: Final = {  # about one recipient: each message of the benchmark has one
    RESOLVE.name: ResolveAnswer((RecipientKind.LOCAL,)),
    CONNECTION.name: ACCEPT,
    RECIPIENTS.name: RecipientsAnswer((ACCEPT,), ACCEPT),
    MESSAGE.name: ACCEPT,
}


class NullBus:
    """The other tiers: every client, recipient and message is a good one."""

    is_connected = True

    async def ask(self, subject: Subject[Any, Any], question: msgspec.Struct) -> Any:
        """Answer at once."""
        return ANSWERS[subject.name]

    async def serve(self, subject: Subject[Any, Any], handler: object) -> None:
        """Serve nobody: edge is asked nothing."""

    async def gather(self, name: str, answer: type[Any], within: timedelta) -> list[Any]:
        """Give nothing: nobody is there."""
        return []

    async def serve_all(self, name: str, handler: object) -> None:
        """Serve nobody."""

    async def drain(self) -> None:
        """Be done."""


class NullSpool:
    """Forgets at once what it takes."""

    async def publish(self, message: SpooledMessage) -> None:
        """Take a message."""


class NullEventLog:
    """Forgets at once what it is told."""

    def record(self, event: Event) -> None:
        """Take a fact."""

    async def flush(self) -> None:
        """Be done."""


class NullContentStore(MemoryContentStore):
    """Forgets at once what is written."""

    def writer(self, name: str) -> ContentWriter:
        """Begin an object."""
        return NullContentWriter(name)


class NullContentWriter:
    """Counts what it is given."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._octets = 0

    async def write(self, octets: bytes) -> None:
        """Count."""
        self._octets += len(octets)

    async def commit(self) -> Content:
        """Say what there would be."""
        return Content(size_octets=self._octets, stored=self._name)

    async def abort(self) -> None:
        """Be done."""


class NullEdgeService:
    """Edge with one listener, as the runner drives it."""

    def __init__(self, common: CommonSettings) -> None:
        self._common = common
        self._settings = EdgeSettings()
        self._edge: Edge | None = None
        self._certificates: Certificates | None = None

    def bind(self) -> None:
        """Load TLS, open the listener."""
        files = self._settings.tls_files(self._common)
        self._certificates = Certificates(*files, self._common.home / "none", SystemClock())
        self._settings.sessions_limit = room_for_sessions(self._settings.sessions_limit)
        address = self._settings.mx_listen
        if address is None:
            raise SettingsError("TRIPOST_EDGE_MX_LISTEN: the benchmark needs an address")
        self._settings.submission_listen = self._settings.submissions_listen = self._settings.proxy_listener = None
        bound = bind(Listen(address), variable="TRIPOST_EDGE_MX_LISTEN")[0]
        self._sockets = BoundBefore([("mx", address, bound)])

    async def start(self) -> None:
        """Take clients."""
        if self._certificates is None:
            raise RuntimeError("start before bind")
        self._edge = edge = Edge(
            self._common,
            self._settings,
            self._certificates,
            bus=NullBus(),
            spool=NullSpool(),
            store=NullContentStore(),
            events=NullEventLog(),
            bans=MemoryBans(SystemClock()),
            resolver=TableResolver(),
            telling=MemoryTelling(),
            counters=MemoryCounters(SystemClock()),
            clock=SystemClock(),
        )
        await edge.start(self._sockets)

    async def drain(self) -> None:
        """Let transactions at hand end."""
        if self._edge is not None:
            await self._edge.drain()

    async def stop(self) -> None:
        """Cut off whoever is left."""
        if self._edge is not None:
            self._edge.abort()


if __name__ == "__main__":
    run("edge", NullEdgeService)
