"""The event log on JetStream: facts travel in batches on `events.v1.<service>`, the stream EVENTS keeps them.

While one batch is on its way to disk the next one gathers, so many facts share one fsync; `flush` waits for its own.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter

from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode, encode
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.events import EVENTS_SUBJECT, Event, EventBatch
from tripost_shared.spool.port import SpoolUnavailable
from tripost_shared.spool.pull import Puller

log = structlog.get_logger()

EVENTS_STREAM: Final = "EVENTS"
DURABLE: Final = "tracking"
BATCH_SECONDS: Final = 0.05
BATCH_EVENTS: Final = 256
BATCH_OCTETS: Final = 1 << 20
ENVELOPE_OCTETS: Final = 256  # what the header and the batch's own words add to the facts
MOST_WAITING: Final = 100_000
PUBLISH_SECONDS: Final = 5.0
FLUSH_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
SAY_AGAIN_SECONDS: Final = 60.0
LOOK_AGAIN_SECONDS: Final = 0.1
MOST_AT_HAND: Final = 1000
# What a killed reader had taken comes again after this, and mail that may be repeated waits for it. Facts that are only
# slow to write may come twice by it, which costs their second writing.
FACTS_ACK_WAIT_SECONDS: Final = 10
CONSUMER: Final = {
    "max_deliver": -1,
    "max_ack_pending": MOST_AT_HAND,
    "ack_wait": FACTS_ACK_WAIT_SECONDS * jetstream.SECOND,
}

DROPPED: Final = Counter(
    "tripost_events_dropped", "Facts that were dropped since the event log was unreachable, or they were too large."
)


class _EncodedBatch(msgspec.Struct):
    """An EventBatch whose facts are octets already."""

    events: list[msgspec.Raw]


class JetStreamEventLog:
    """Writes one service's facts. Call `close` before the link closes."""

    def __init__(self, link: NatsLink, service: str) -> None:
        self._link = link
        self._subject = f"{EVENTS_SUBJECT}.{service}"
        self._waiting: deque[msgspec.Raw] = deque()
        self._recorded = 0
        self._settled = 0  # of those recorded: on disk, or dropped
        self._dropped_said_at = -SAY_AGAIN_SECONDS
        self._dropped = 0
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def record(self, event: Event) -> None:
        """Note a fact."""
        try:
            octets = msgspec.Raw(encode(event))
        except Exception:  # promised: a fact that cannot be written must not stop mail
            log.exception("fact cannot be encoded", fact=event.fact, message_id=event.message_id)
            return
        self._waiting.append(octets)
        self._recorded += 1
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._drop_oldest(1)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write())
        if len(self._waiting) == 1 or len(self._waiting) >= BATCH_EVENTS:
            self._wake.set()

    async def flush(self) -> None:
        """Wait until all recorded so far is on disk; raises SpoolUnavailable after 10 s."""
        if self._settled >= self._recorded:
            return
        future = asyncio.get_running_loop().create_future()
        entry = (self._recorded, future)
        self._flushes.append(entry)
        self._wake.set()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await future
        except TimeoutError as error:
            raise SpoolUnavailable("facts could not be written in time") from error
        finally:
            if entry in self._flushes:
                self._flushes.remove(entry)

    async def close(self) -> None:
        """Write what waits if that is possible soon, then stop."""
        try:
            await self.flush()
        except SpoolUnavailable as error:
            log.warning("facts are lost", facts=len(self._waiting), because=str(error))
        if self._writer is not None:
            self._writer.cancel()

    async def _write(self) -> None:
        while True:
            await self._gather()
            batch = self._next_batch()
            if batch:
                await self._write_batch(batch)

    async def _gather(self) -> None:
        """Wait for facts, then a little for more, unless someone waits for the disk."""
        self._wake.clear()
        if not self._waiting:
            await self._wake.wait()
            self._wake.clear()
        if not self._flushes and len(self._waiting) < BATCH_EVENTS:
            try:
                async with asyncio.timeout(BATCH_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _next_batch(self) -> list[msgspec.Raw]:
        batch: list[msgspec.Raw] = []
        most_octets = min(BATCH_OCTETS, self._link.max_payload_octets - ENVELOPE_OCTETS)
        size_octets = 0
        while self._waiting and len(batch) < BATCH_EVENTS:
            size_octets += len(memoryview(self._waiting[0]))
            if batch and size_octets > most_octets:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _write_batch(self, batch: list[msgspec.Raw]) -> None:
        """Write until it is on disk; in parts when the server does not take so much at once."""
        payload = encode(_EncodedBatch(batch))
        header = jetstream.header({"Nats-Msg-Id": self._link.new_inbox()})  # nobody else's: written once only
        pause = FIRST_PAUSE_SECONDS
        while True:
            if len(payload) + len(header) > self._link.max_payload_octets:
                await self._write_halves(batch, f"NATS takes {self._link.max_payload_octets} octets")
                return
            try:
                await jetstream.publish_once(self._link, self._subject, payload, header, PUBLISH_SECONDS)
            except (JetStreamRefused, JetStreamUnavailable) as error:
                if isinstance(error, JetStreamRefused) and error.number in jetstream.TOO_LARGE:
                    await self._write_halves(batch, str(error))
                    return
                log.debug("facts could not be written yet", because=str(error))
            except Exception:  # an entrance: no fact would be written any more, and no mail acknowledged
                log.exception("facts could not be written, they are kept", facts=len(batch))
            else:
                self._settle(len(batch))
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            if len(self._waiting) + len(batch) > MOST_WAITING:
                self._drop_oldest(len(batch))
                return

    async def _write_halves(self, batch: list[msgspec.Raw], because: str) -> None:
        """Write what is too large as two batches. A fact that is too large by itself is dropped, and no other."""
        if len(batch) == 1:
            log.error(
                "fact is too large, it is dropped",
                size_octets=len(memoryview(batch[0])),
                subject=self._subject,
                because=because,
            )
            DROPPED.inc()
            self._settle(1)  # nobody waits for it: it can never be written
            return
        middle = len(batch) // 2
        await self._write_batch(batch[:middle])
        await self._write_batch(batch[middle:])

    def _drop_oldest(self, count: int) -> None:
        DROPPED.inc(count)
        self._dropped += count
        now = asyncio.get_running_loop().time()
        if now - self._dropped_said_at >= SAY_AGAIN_SECONDS:
            self._dropped_said_at = now
            log.error("event log is unreachable, the oldest facts are dropped", facts=self._dropped)
        for _, future in self._flushes:
            if not future.done():
                future.set_exception(SpoolUnavailable("facts were dropped"))
        self._settle(count)

    def _settle(self, count: int) -> None:
        self._settled += count
        for wanted, future in self._flushes:
            if wanted <= self._settled and not future.done():
                future.set_result(None)


class JetStreamEventReader:
    """Takes facts, for the tracking; replicas share the work. Call `close` before the process ends."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._puller = Puller(link, [EVENTS_STREAM], DURABLE, CONSUMER)
        self._at_hand: dict[bytes, Incoming] = {}  # by the subject to acknowledge it on

    async def fetch(self, at_most: int, wait: timedelta) -> Sequence["JetStreamEventBatch"]:
        """Take batches; raises SpoolUnavailable."""
        batches: list[JetStreamEventBatch] = []
        for pulled in await self._puller.take(at_most, wait.total_seconds()):
            try:
                events = decode(pulled.message.data, EventBatch).events
            except msgspec.DecodeError as error:
                log.error("facts cannot be read, they are dropped", because=str(error))  # noqa: TRY400 (the trace tells nothing more)
                self._puller.answer(pulled.message, b"+TERM")
                continue
            self._note_at_hand(pulled.message)
            batches.append(JetStreamEventBatch(self, pulled.message, events))
        return batches

    def note_done(self, message: Incoming) -> None:
        """Remove a batch from the log; not waited for."""
        self._at_hand.pop(message.reply, None)
        self._puller.answer(message, b"+ACK")

    def _note_at_hand(self, message: Incoming) -> None:
        self._at_hand[message.reply] = message
        if len(self._at_hand) > MOST_AT_HAND:  # of batches that a taker forgot, and that have come again since
            del self._at_hand[next(iter(self._at_hand))]

    async def wait_until_done(self, within: timedelta) -> bool:
        """Wait until all that is in the log now is done with; False: not in that time, or NATS does not answer."""
        newest: int | None = None
        try:
            async with asyncio.timeout(within.total_seconds()):
                while True:
                    try:
                        if newest is None:
                            newest = await jetstream.last_sequence(self._link, EVENTS_STREAM)
                        if not newest or await self._is_done_up_to(newest):
                            return True
                    except (JetStreamRefused, JetStreamUnavailable) as error:
                        log.debug("event log does not tell how far it is read", because=str(error))
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
        except TimeoutError:
            return False

    async def _is_done_up_to(self, sequence: int) -> bool:
        """Ask the consumer, not the stream, which may keep what is done with: after a full disk, say."""
        info = await jetstream.call(self._link, f"CONSUMER.INFO.{EVENTS_STREAM}.{DURABLE}")
        is_idle: bool = info["num_pending"] == info["num_ack_pending"] == 0
        return is_idle or info["ack_floor"]["stream_seq"] >= sequence

    async def close(self) -> None:
        """Take no more; what is not done with goes to another replica at once: until then nobody can look it up."""
        await self._puller.close()
        for message in self._at_hand.values():
            self._puller.answer(message, b"-NAK")
        self._at_hand.clear()


class JetStreamEventBatch:
    """Facts taken from the log."""

    def __init__(self, reader: JetStreamEventReader, message: Incoming, events: Sequence[Event]) -> None:
        self.events = events
        self._reader = reader
        self._message = message

    async def done(self) -> None:
        """Remove them from the log; not waited for."""
        self._reader.note_done(self._message)
