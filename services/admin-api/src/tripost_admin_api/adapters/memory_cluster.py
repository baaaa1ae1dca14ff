"""The cluster in memory, for tests: the fakes of `tripost_shared` behind the one port."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from tripost_admin_api.ports import ClusterUnavailable, SpoolNumbers
from tripost_shared.bans.memory import MemoryBans
from tripost_shared.bus.memory import MemoryBus
from tripost_shared.clock import Clock, SystemClock
from tripost_shared.config.memory import MemoryConfig
from tripost_shared.config.port import ConfigUnavailable, Snapshot, Watched
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.contracts.bans import Ban
from tripost_shared.contracts.events import Event
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus
from tripost_shared.counters.memory import MemoryCounters
from tripost_shared.counters.port import Count, Tally
from tripost_shared.counters.totals import MemoryTotals, Total
from tripost_shared.provision import DEFAULT_SIZES
from tripost_shared.spool.memory import MemoryEventLog, MemorySpool


class MemoryCluster:
    """Its parts are public, for tests to look at; `is_connected` set to False cuts the line."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.is_connected = True
        self.trouble = ""
        self.content_octets: int | None = DEFAULT_SIZES.content
        self._regained: list[Callable[[], None]] = []
        self.bus = MemoryBus()
        self.config = MemoryConfig()
        self.content = MemoryContentStore(clock)
        self.events = MemoryEventLog()
        self.banned = MemoryBans(clock or SystemClock())
        self.counters = MemoryCounters(clock or SystemClock())
        self.counted = MemoryTotals(clock or SystemClock())
        self.messages = MemorySpool()
        self.put_revisions: list[tuple[str, int]] = []  # in the order published

    def on_regained(self, call: Callable[[], None]) -> None:
        """Be told by `regain`."""
        self._regained.append(call)

    def regain(self) -> None:
        """Bring the line back."""
        self.is_connected = True
        for call in self._regained:
            call()

    async def watch(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key."""
        return await self.config.watch(key, kind)

    async def put(self, key: str, snapshot: msgspec.Struct) -> None:
        """Replace the key's value unless a newer one is in force."""
        if not self.is_connected:
            raise ConfigUnavailable("told to be away")
        in_force = await self.config.watch(key, type(snapshot))
        revision: int = getattr(snapshot, "revision", 0)
        if getattr(in_force.current, "revision", 0) <= revision:
            self.put_revisions.append((key, revision))
            await self.config.put(key, snapshot)

    async def nodes(self, within: timedelta) -> list[NodeStatus]:
        """Ask every instance on the bus."""
        self._require_connected()
        return await self.bus.gather(NODES_SUBJECT, NodeStatus, within)

    async def spool(self) -> SpoolNumbers:
        """Count the messages."""
        self._require_connected()
        messages = self.messages.messages
        return SpoolNumbers(len(messages), 0, sum(message.content.size_octets for message in messages), 1)

    async def content_bound(self) -> int | None:
        """Tell `content_octets`."""
        self._require_connected()
        return self.content_octets

    async def publish_facts(self, facts: Sequence[Event]) -> None:
        """Put facts into the log."""
        self._require_connected()
        for fact in facts:
            self.events.record(fact)

    async def bans(self) -> list[Ban]:
        """Give all bans."""
        self._require_connected()
        return await self.banned.all()

    async def ban(self, network: str) -> Ban | None:
        """Give one network's."""
        self._require_connected()
        return await self.banned.find(network)

    async def put_ban(self, ban: Ban, keep_until: datetime) -> None:
        """Write a ban."""
        self._require_connected()
        await self.banned.put(ban, keep_until)

    async def counts(self, counts: Sequence[Count]) -> list[int]:
        """Give totals."""
        self._require_connected()
        return await self.counters.read_all(counts)

    async def tallies(self, kind: str) -> list[Tally]:
        """List a kind's counts."""
        self._require_connected()
        return await self.counters.tallies(kind)

    async def totals(self, kind: str) -> dict[str, Total]:
        """Give a kind's counts."""
        self._require_connected()
        return await self.counted.all(kind)

    async def delete_content(self, name: str, committed_by: datetime) -> None:
        """Remove an object."""
        if not self.is_connected:
            raise ContentUnavailable("told to be away")
        await self.content.delete(name, committed_by)

    def _require_connected(self) -> None:
        if not self.is_connected:
            raise ClusterUnavailable("told to be away")
