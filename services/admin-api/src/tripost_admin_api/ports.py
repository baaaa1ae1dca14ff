"""What admin-api needs of the running cluster; the adapter behind it speaks NATS."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from tripost_shared.config.port import ConfigPublisher, Snapshot, Watched
from tripost_shared.contracts.bans import Ban
from tripost_shared.contracts.events import Event
from tripost_shared.contracts.nodes import NodeStatus
from tripost_shared.counters.port import Count, Tally
from tripost_shared.counters.totals import Total


class ClusterUnavailable(Exception):
    """NATS is away, so the cluster cannot be asked."""


class SpoolNumbers(msgspec.Struct, frozen=True):
    """What is accepted and not yet settled, over all partitions, in bundles of one message or a few.

    `waiting`: nobody has taken it yet; `attempted`: taken by domains, and not yet acknowledged.
    """

    waiting: int
    attempted: int
    octets: int
    partitions: int


class Cluster(ConfigPublisher, Protocol):
    """The other tiers and their shared stores, which may be away at any time, from the first start on.

    `put` never replaces a newer revision: a snapshot that is older than the one in force is left out without an error.
    """

    @property
    def is_connected(self) -> bool:
        """Whether the cluster can be reached now."""
        ...

    @property
    def trouble(self) -> str:
        """What keeps us from using the cluster for long, other than that it is away; empty for nothing."""
        ...

    def on_regained(self, call: Callable[[], None]) -> None:
        """Be told when the cluster can be reached, at first and again after an outage; what it knew may be gone."""
        ...

    async def watch(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key of the configuration in force. Raises ConfigUnavailable before NATS was reached."""
        ...

    async def nodes(self, within: timedelta) -> list[NodeStatus]:
        """Ask every instance how it does, and collect answers for that long. Raises ClusterUnavailable."""
        ...

    async def spool(self) -> SpoolNumbers:
        """Count what is in the spool. Raises ClusterUnavailable."""
        ...

    async def content_bound(self) -> int | None:
        """Tell how many octets the content store may hold; None before it is made. Raises ClusterUnavailable."""
        ...

    async def publish_facts(self, facts: Sequence[Event]) -> None:
        """Put facts into the event log; returns once it has acknowledged them. Raises ClusterUnavailable."""
        ...

    async def bans(self) -> list[Ban]:
        """Give all bans that are kept, also those that have ended. Raises ClusterUnavailable."""
        ...

    async def ban(self, network: str) -> Ban | None:
        """Give what is kept of one network's ban. Raises ClusterUnavailable."""
        ...

    async def put_ban(self, ban: Ban, keep_until: datetime) -> None:
        """Write a network's ban, which edge heeds at once. Raises ClusterUnavailable."""
        ...

    async def counts(self, counts: Sequence[Count]) -> list[int]:
        """Give totals of the shared counters. Raises ClusterUnavailable."""
        ...

    async def tallies(self, kind: str) -> list[Tally]:
        """List a kind's counts. Raises ClusterUnavailable."""
        ...

    async def totals(self, kind: str) -> dict[str, Total]:
        """Give a kind's counts that are kept for good. Raises ClusterUnavailable."""
        ...

    async def delete_content(self, name: str, committed_by: datetime) -> None:
        """Remove an object of the content store, unless it was committed later. Raises ContentUnavailable."""
        ...
