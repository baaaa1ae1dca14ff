"""Removing from SPOOL's streams what has been acknowledged, and watching over them.

A work queue would remove each message at its acknowledgement, with a tombstone and an fsync of its own: as dear as
storing it (docs/decisions/0003). So the streams keep messages until they are trimmed, all at once, up to the sequence
number below which everything is acknowledged. Several replicas may trim; it is the same whoever does it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Gauge

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.spool.partitions import existing_streams
from tripost_shared.spool.state import FloorWatch, PartitionState, SpoolState

log = structlog.get_logger()

TRIM_EVERY_SECONDS: Final = 5.0
NEGLECTED_AFTER_SECONDS: Final = 60.0  # without a round in which all went well

WAITING: Final = Gauge("tripost_spool_waiting", "Spooled messages that nobody has taken yet.", ["stream"])
ATTEMPTED: Final = Gauge("tripost_spool_attempted", "Spooled messages taken and not yet acknowledged.", ["stream"])
UNTRIMMED: Final = Gauge(
    "tripost_spool_untrimmed", "Messages from the oldest unacknowledged one to the newest.", ["stream"]
)
STUCK: Final = Gauge(
    "tripost_spool_stuck_seconds", "How long one unacknowledged message has held up the trimming.", ["stream"]
)
UNREADABLE: Final = Gauge("tripost_spool_unreadable", "Spooled messages that are parked since they cannot be read.")


class Trimmer:
    """Trims SPOOL from time to time, by what the durable consumer of that name has had acknowledged.

    `streams` are those that must be there; others are found. `found` is told of all of them when they change.
    """

    def __init__(
        self,
        link: NatsLink,
        streams: Sequence[str],
        durable: str,
        unreadable: str,
        found: Callable[[Sequence[str]], None],
    ) -> None:
        self._link = link
        self._expected = tuple(streams)
        self._streams = {stream: _Stream(stream) for stream in streams}
        self._durable = durable
        self._unreadable = unreadable
        self._parked = 0
        self._failing_since: float | None = None
        self._neglected_because = ""
        self._found = found
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> SpoolState:
        """What was seen last."""
        seen = [stream.state for stream in self._streams.values()]
        return SpoolState(tuple(state for state in seen if state is not None), self._parked, self._neglected_because)

    def start(self) -> None:
        """Begin, in the event loop that runs; does nothing when it has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Trim no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def find(self) -> str:
        """Look which streams there are; tells why that could not be done, or ""."""
        try:
            existing = await existing_streams(self._link)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            log.info("spool's streams cannot be listed now", because=str(error))
            return str(error)
        names = list(dict.fromkeys([*self._expected, *existing]))
        if names != list(self._streams):
            log.info("spool's streams have changed", streams=names)
            for gone in self._streams.keys() - set(names):
                self._streams[gone].forget()
            self._streams = {name: self._streams.get(name) or _Stream(name) for name in names}
            self._found(names)
        return ""

    async def trim(self) -> str:
        """Trim all streams once; one that cannot be trimmed now is said, and stops no other. Tells why, or ""."""
        failed = ""
        for stream in list(self._streams.values()):
            try:
                await self._trim(stream)
            except (JetStreamRefused, JetStreamUnavailable) as error:
                log.info("spool not trimmed now", stream=stream.name, because=str(error))
                failed = f"{stream.name}: {error}"
            except Exception as error:  # an answer in a form that was not expected
                log.exception("spool could not be trimmed", stream=stream.name)
                failed = f"{stream.name}: {error!r}"
        try:
            self._parked = await jetstream.count_messages(self._link, self._unreadable)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            log.info("unreadable messages not counted now", because=str(error))
            return str(error)
        UNREADABLE.set(self._parked)
        return failed

    async def _trim(self, stream: "_Stream") -> None:
        info = await jetstream.call(self._link, f"CONSUMER.INFO.{stream.name}.{self._durable}")
        stream.note(stream.watch.see(info, asyncio.get_running_loop().time()))
        floor: int = info["ack_floor"]["stream_seq"]
        if floor != stream.trimmed:  # lower after a crash of the server: then it is done again
            await jetstream.call(self._link, f"STREAM.PURGE.{stream.name}", {"seq": floor + 1})
            stream.trimmed = floor

    async def _run(self) -> None:
        while True:
            failed = await self._at_any_rate(self.find)
            await asyncio.sleep(TRIM_EVERY_SECONDS)
            self._note(failed or await self._at_any_rate(self.trim))

    async def _at_any_rate(self, job: Callable[[], Awaitable[str]]) -> str:
        try:
            return await job()
        except Exception as error:  # an entrance: untrimmed, the spool would fill up in the end
            log.exception("spool could not be looked after")
            return repr(error)

    def _note(self, failed: str) -> None:
        """Keep in mind since when something fails at each time, for the state to tell of it once it lasts."""
        now = asyncio.get_running_loop().time()
        if not failed:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        lasts = self._failing_since is not None and now - self._failing_since >= NEGLECTED_AFTER_SECONDS
        self._neglected_because = failed if lasts else ""


class _Stream:
    """What is known of a stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.watch = FloorWatch(name)
        self.trimmed = 0
        self.state: PartitionState | None = None

    def note(self, state: PartitionState) -> None:
        """Keep and show what was seen; say it when somebody should look, and when that is over."""
        was_stuck = self.state is not None and self.state.is_stuck
        self.state = state
        WAITING.labels(self.name).set(state.waiting)
        ATTEMPTED.labels(self.name).set(state.attempted)
        UNTRIMMED.labels(self.name).set(state.untrimmed)
        STUCK.labels(self.name).set(state.stuck_for.total_seconds())
        if state.is_stuck and not was_stuck:
            log.warning(
                "one message holds up the trimming of the spool",
                stream=self.name,
                sequence=state.oldest_sequence,
                minutes=int(state.stuck_for.total_seconds() // 60),
                untrimmed=state.untrimmed,
            )
        elif was_stuck and not state.is_stuck:
            log.info("the spool is trimmed again", stream=self.name)

    def forget(self) -> None:
        """Show no more of it."""
        for gauge in (WAITING, ATTEMPTED, UNTRIMMED, STUCK):
            gauge.remove(self.name)
