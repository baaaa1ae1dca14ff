"""The cluster over NATS: usable at once, connected when NATS is there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec
import structlog

from tripost_admin_api.perseverance import Failures, persevere
from tripost_admin_api.ports import ClusterUnavailable, SpoolNumbers
from tripost_shared.bans.kv import KvBans
from tripost_shared.bans.port import BansUnavailable
from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode_json, encode
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.port import NoAnswer
from tripost_shared.clock import SystemClock
from tripost_shared.config.kv import PREFIX, STREAM, WITHIN_SECONDS, KvConfigSource
from tripost_shared.config.port import ConfigUnavailable, Snapshot, Watched
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.content.writer import STREAM as CONTENT_STREAM
from tripost_shared.contracts.bans import Ban
from tripost_shared.contracts.events import EVENTS_SUBJECT, Event, EventBatch
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus
from tripost_shared.counters.jetstream import JetStreamCounters
from tripost_shared.counters.jetstream_totals import JetStreamTotals
from tripost_shared.counters.port import Count, CountersUnavailable, Tally
from tripost_shared.counters.totals import Total
from tripost_shared.kv.jetstream import is_deleted
from tripost_shared.provision import provision
from tripost_shared.settings import CommonSettings, SettingsError
from tripost_shared.spool.jetstream import DURABLE
from tripost_shared.spool.partitions import existing_streams

log = structlog.get_logger()

Result = TypeVar("Result")

PUT_TRIES: Final = 5
AWAY: Final = "NATS has not been reached since this process started"
NOT_MADE: Final = "its streams and buckets cannot be made yet, as the log of admin-api says"


class _Stamp(msgspec.Struct):
    """What every configuration document has."""

    revision: int = 0


class NatsCluster:
    """Call `open` in a task of its own: it returns once NATS is reached, however long that takes."""

    def __init__(self, settings: CommonSettings, service: str) -> None:
        self._settings = settings
        self._service = service
        self._link: NatsLink | None = None
        self._bus: NatsBus | None = None
        self._source: KvConfigSource | None = None
        self._regained: list[Callable[[], None]] = []
        self._restoring: asyncio.Task[None] | None = None
        self._failures = Failures("NATS cannot be used", (JetStreamRefused, JetStreamUnavailable, SettingsError))

    async def open(self) -> NatsBus:
        """Connect, make the streams and buckets that are missing, and give the bus; tries for ever."""
        link = self._link = await persevere(lambda: NatsLink.connect(self._settings, self._service), self._failures)
        await persevere(lambda: provision(link, self._settings), self._failures)
        self._source = KvConfigSource(link)
        self._bus = NatsBus(link)
        link.after_regaining(self._take_up_again)
        self._tell()
        return self._bus

    async def close(self) -> None:
        """Send what waits, then close."""
        if self._restoring is not None:
            self._restoring.cancel()
        if self._source is not None:
            await self._source.close()
        if self._bus is not None:
            await self._bus.drain()
        if self._link is not None:
            await self._link.drain()

    @property
    def is_connected(self) -> bool:
        """Whether the cluster can be reached now."""
        return self._source is not None and self._link is not None and self._link.is_connected

    @property
    def trouble(self) -> str:
        """Why the servers named, or their streams and buckets, cannot be used, once it lasts."""
        return self._failures.trouble

    def on_regained(self, call: Callable[[], None]) -> None:
        """Be told when the cluster can be reached, at first and again."""
        self._regained.append(call)

    async def watch(self, key: str, kind: type[Snapshot]) -> Watched[Snapshot]:
        """Follow a key."""
        if self._source is None:
            raise ConfigUnavailable(self._why_away())
        return await self._source.watch(key, kind)

    async def put(self, key: str, snapshot: msgspec.Struct) -> None:
        """Replace the key's value unless a newer one is in force, whoever writes at the same moment."""
        link = self._link
        if link is None or not self.is_connected:
            raise ConfigUnavailable(self._why_away() if self._source is None else "not connected to NATS")
        revision: int = getattr(snapshot, "revision", 0)
        payload = msgspec.json.encode(snapshot)
        try:
            for _ in range(PUT_TRIES):
                sequence, in_force = await _present(link, key)
                if in_force > revision or await _replace(link, key, payload, sequence):
                    return
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise ConfigUnavailable(str(error)) from error
        raise ConfigUnavailable(f"{key}: others write all the time")

    async def nodes(self, within: timedelta) -> list[NodeStatus]:
        """Ask every instance how it does."""
        if self._bus is None:
            raise ClusterUnavailable(self._why_away())
        try:
            return await self._bus.gather(NODES_SUBJECT, NodeStatus, within)
        except NoAnswer as error:
            raise ClusterUnavailable(str(error)) from error

    async def spool(self) -> SpoolNumbers:
        """Count what is in the spool's streams, in those that are no more published to as well."""
        if self._link is None:
            raise ClusterUnavailable(self._why_away())
        waiting = attempted = octets = 0
        try:
            streams = await existing_streams(self._link)
            for stream in streams:
                info = await jetstream.call(self._link, f"STREAM.INFO.{stream}", within_seconds=2.0)
                untaken, taken = await self._unsettled(stream, info["state"]["messages"])
                waiting, attempted = waiting + untaken, attempted + taken
                octets += info["state"]["bytes"]
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise ClusterUnavailable(str(error)) from error
        return SpoolNumbers(waiting, attempted, octets, len(streams))

    async def content_bound(self) -> int | None:
        """Tell the bound of the content store's stream."""
        if self._link is None:
            raise ClusterUnavailable(self._why_away())
        try:
            info = await jetstream.call(self._link, f"STREAM.INFO.{CONTENT_STREAM}", within_seconds=2.0)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            if isinstance(error, JetStreamRefused) and error.number in jetstream.NOT_FOUND:
                return None
            raise ClusterUnavailable(str(error)) from error
        return int(info["config"]["max_bytes"])

    async def _unsettled(self, stream: str, stored: int) -> tuple[int, int]:
        """Count what waits and what is attempted: not all that is stored, since streams are trimmed now and then."""
        if self._link is None or not stored:
            return stored, 0
        try:
            info = await jetstream.call(self._link, f"CONSUMER.INFO.{stream}.{DURABLE}", within_seconds=2.0)
        except JetStreamRefused as error:
            if error.number in jetstream.NOT_FOUND:
                return stored, 0
            raise
        return int(info["num_pending"]), int(info["num_ack_pending"])

    async def publish_facts(self, facts: Sequence[Event]) -> None:
        """Put facts into the log."""
        if self._link is None:
            raise ClusterUnavailable(self._why_away())
        try:
            await jetstream.publish(self._link, f"{EVENTS_SUBJECT}.{self._service}", encode(EventBatch(tuple(facts))))
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise ClusterUnavailable(str(error)) from error

    async def bans(self) -> list[Ban]:
        """Give all bans."""
        return await self._of_bans(lambda bans: bans.all())

    async def ban(self, network: str) -> Ban | None:
        """Give one network's."""
        return await self._of_bans(lambda bans: bans.find(network))

    async def put_ban(self, ban: Ban, keep_until: datetime) -> None:
        """Write a ban."""
        await self._of_bans(lambda bans: bans.put(ban, keep_until))

    async def _of_bans(self, work: Callable[[KvBans], Awaitable[Result]]) -> Result:
        if self._link is None:
            raise ClusterUnavailable(self._why_away())
        try:
            return await work(KvBans(self._link, SystemClock()))
        except BansUnavailable as error:
            raise ClusterUnavailable(str(error)) from error

    async def counts(self, counts: Sequence[Count]) -> list[int]:
        """Give totals."""
        return await self._of_counters(lambda counters: counters.read_all(counts))

    async def tallies(self, kind: str) -> list[Tally]:
        """List a kind's counts."""
        return await self._of_counters(lambda counters: counters.tallies(kind))

    async def _of_counters(self, work: Callable[[JetStreamCounters], Awaitable[Result]]) -> Result:
        if self._link is None:
            raise ClusterUnavailable(self._why_away())
        try:
            return await work(JetStreamCounters(self._link, SystemClock()))
        except CountersUnavailable as error:
            raise ClusterUnavailable(str(error)) from error

    async def totals(self, kind: str) -> dict[str, Total]:
        """Give a kind's counts."""
        if self._link is None:
            raise ClusterUnavailable(self._why_away())
        try:
            return await JetStreamTotals(self._link).all(kind)
        except CountersUnavailable as error:
            raise ClusterUnavailable(str(error)) from error

    async def delete_content(self, name: str, committed_by: datetime) -> None:
        """Remove an object."""
        if self._link is None:
            raise ContentUnavailable(self._why_away())
        await ObjectContentStore(self._link).delete(name, committed_by)

    def _why_away(self) -> str:
        """Say why `open` has not come to its end."""
        return NOT_MADE if self._link is not None and self._link.is_connected else AWAY

    def _take_up_again(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
        self._restoring = asyncio.get_running_loop().create_task(self._restore())

    async def _restore(self) -> None:
        """Make the streams and buckets again: the server that is back may have lost its state."""
        if self._link is not None:
            link = self._link
            await persevere(lambda: provision(link, self._settings), self._failures)
            self._tell()

    def _tell(self) -> None:
        for call in self._regained:
            call()


async def _present(link: NatsLink, key: str) -> tuple[int, int]:
    """Give the sequence number of the key's newest entry, 0 for none, and the revision in force."""
    message = await jetstream.last_message(link, STREAM, PREFIX + key)
    if message is None:
        return 0, 0
    if is_deleted(message):
        return message.sequence, 0
    try:
        return message.sequence, decode_json(message.data, _Stamp).revision
    except msgspec.DecodeError as error:
        log.warning("configuration in force cannot be read, replacing it", key=key, because=str(error))
        return message.sequence, 0


async def _replace(link: NatsLink, key: str, payload: bytes, sequence: int) -> bool:
    """Write over exactly that entry; tells whether it was still the newest."""
    fields = jetstream.header({"Nats-Expected-Last-Subject-Sequence": str(sequence)})
    try:
        await jetstream.publish(link, PREFIX + key, payload, fields, WITHIN_SECONDS)
    except JetStreamRefused as error:
        if error.number in jetstream.WRONG_LAST_SEQUENCE:
            return False
        raise
    return True
