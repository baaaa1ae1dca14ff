"""The spool and the event log in memory, for tests."""

import asyncio
import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from tripost_shared.bus.encoding import decode, encode
from tripost_shared.clock import Clock, SystemClock
from tripost_shared.contracts.events import Event
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.spool.port import MessageTooLarge, SpoolFull, SpoolUnavailable
from tripost_shared.spool.state import PartitionState, SpoolState

ACK_WAIT: Final = timedelta(seconds=30)  # as the JetStream consumer's


class MemorySpool:
    """Spool and SpoolReader in one. `is_full` and `is_unavailable` let a test make it so.

    `most_octets` bounds a message as NATS does; None: there is no bound.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.is_full = False
        self.is_unavailable = False
        self.most_octets: int | None = None
        self._clock = clock or SystemClock()
        self._kept: list[_Kept] = []
        self._seen: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def messages(self) -> list[SpooledMessage]:
        """All that is in the spool, taken or not, oldest first."""
        return [kept.message for kept in self._kept]

    async def publish(self, message: SpooledMessage) -> None:
        """Keep the message; raises SpoolFull, SpoolUnavailable or MessageTooLarge when the test says so."""
        octets = encode(message)
        if self.most_octets is not None and len(octets) > self.most_octets:
            raise MessageTooLarge(f"{len(octets)} octets; told to take {self.most_octets}")
        self._require_available()
        if self.is_full:
            raise SpoolFull("told to be full")
        if message.id not in self._seen:
            self._seen.add(message.id)
            self._kept.append(_Kept(decode(octets, SpooledMessage), self._clock.now()))
            self._changed.set()

    async def fetch(self, at_most: int, wait: timedelta) -> Sequence["MemorySpoolDelivery"]:
        """Take what is due; raises SpoolUnavailable when the test says so."""
        self._require_available()
        end = asyncio.get_running_loop().time() + wait.total_seconds()
        while not (taken := self._take_due(at_most)):
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return []
            self._changed.clear()
            await self._wait_for_change(min(left, self._seconds_until_due()))
        return taken

    async def _wait_for_change(self, at_most_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await self._changed.wait()

    def _seconds_until_due(self) -> float:
        soonest = min((kept.hidden_until for kept in self._kept), default=math.inf)
        return max(0.01, soonest - self._clock.monotonic())

    async def oldest_at(self) -> datetime | None:
        """Tell when the oldest message still there was put there."""
        self._require_available()
        return min((kept.stored_at for kept in self._kept), default=None)

    def state(self) -> SpoolState:
        """Count what nobody has taken, and what is taken and not done."""
        attempted = sum(kept.times_delivered > 0 for kept in self._kept)
        waiting = len(self._kept) - attempted
        return SpoolState((PartitionState("memory", waiting, attempted, len(self._kept), oldest_sequence=1),))

    def forget_takers(self) -> None:
        """Let all that is there come anew, as when a crash made the server forget who had taken what."""
        for kept in self._kept:
            kept.hidden_until = 0.0
            kept.times_delivered = 0
            kept.is_forgotten = True
        self._changed.set()

    async def close(self) -> None:
        """Do nothing; the JetStream reader gives back what it holds."""

    def _take_due(self, at_most: int) -> list["MemorySpoolDelivery"]:
        now = self._clock.monotonic()
        due = [kept for kept in self._kept if kept.hidden_until <= now][:at_most]
        for kept in due:
            kept.hidden_until = now + ACK_WAIT.total_seconds()
            kept.times_delivered += 1
        return [MemorySpoolDelivery(self, kept) for kept in due]

    def _require_available(self) -> None:
        if self.is_unavailable:
            raise SpoolUnavailable("told to be unavailable")

    def remove(self, kept: "_Kept") -> None:
        """Drop a message that is done with."""
        if kept in self._kept:
            self._kept.remove(kept)

    def hide(self, kept: "_Kept", delay: timedelta) -> None:
        """Let a message come again after the delay."""
        kept.hidden_until = self._clock.monotonic() + delay.total_seconds()
        self._changed.set()


@dataclass(eq=False)
class _Kept:
    message: SpooledMessage
    stored_at: datetime
    hidden_until: float = 0.0
    times_delivered: int = 0
    is_forgotten: bool = False


class MemorySpoolDelivery:
    """A message taken from a MemorySpool."""

    def __init__(self, spool: MemorySpool, kept: _Kept) -> None:
        self.message = kept.message
        self.times_delivered = kept.times_delivered
        self.may_be_repeated = kept.times_delivered > 1 or kept.is_forgotten
        self._spool = spool
        self._kept = kept

    async def done(self) -> None:
        """Remove it from the spool."""
        self._spool.remove(self._kept)

    async def keep_alive(self) -> None:
        """Begin the time anew in which nobody else gets it."""
        self._spool.hide(self._kept, ACK_WAIT)

    async def put_back(self, delay: timedelta) -> None:
        """Let it come again after the delay."""
        self._spool.hide(self._kept, delay)


@dataclass
class MemoryEventLog:
    """An event log that keeps all facts in `events`; `is_unavailable` makes `flush` fail."""

    events: list[Event] = field(default_factory=list)
    is_unavailable: bool = False

    def record(self, event: Event) -> None:
        """Note a fact."""
        self.events.append(event)

    async def flush(self) -> None:
        """Do nothing, or raise SpoolUnavailable when the test says so."""
        if self.is_unavailable:
            raise SpoolUnavailable("told to be unavailable")


class MemoryEventReader:
    """Takes facts from a MemoryEventLog, a batch for all that are new; what is not done comes again."""

    def __init__(self, event_log: MemoryEventLog) -> None:
        self._log = event_log
        self._done = 0

    async def fetch(self, at_most: int, wait: timedelta) -> Sequence["MemoryEventBatch"]:
        """Take the facts that are not done with as one batch, or none."""
        if self._log.is_unavailable:
            raise SpoolUnavailable("told to be unavailable")
        end = len(self._log.events)
        if end == self._done:
            await asyncio.sleep(min(wait.total_seconds(), 0.01))  # a reader's loop must not spin
            return []
        return [MemoryEventBatch(self, tuple(self._log.events[self._done : end]), end)]

    async def wait_until_done(self, within: timedelta) -> bool:
        """Wait until all that is in the log now is done with."""
        end = len(self._log.events)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                while self._done < end:  # noqa: ASYNC110 (done by the reader's user, who tells nothing)
                    await asyncio.sleep(0.01)
        return self._done >= end

    def finish(self, end: int) -> None:
        """Pass over the facts before this position from now on."""
        self._done = max(self._done, end)


class MemoryEventBatch:
    """Facts taken from a MemoryEventLog."""

    def __init__(self, reader: MemoryEventReader, events: tuple[Event, ...], end: int) -> None:
        self.events: Sequence[Event] = events
        self._reader = reader
        self._end = end

    async def done(self) -> None:
        """Remove them from the log."""
        self._reader.finish(self._end)
