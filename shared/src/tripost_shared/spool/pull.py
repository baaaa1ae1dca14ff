"""Pulling from durable JetStream consumers: one long pull a stream at any time, into one small buffer."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import LinkDown, NatsLink
from tripost_shared.spool.port import SpoolUnavailable

log = structlog.get_logger()

SECOND: Final = 1_000_000_000  # JetStream counts nanoseconds
ACK_WAIT_SECONDS: Final = 30
EXPIRES_SECONDS: Final = 30
HEARTBEAT_SECONDS: Final = 5
SILENCE_SECONDS: Final = 2.5 * HEARTBEAT_SECONDS  # a pull of which nothing was heard for so long is dead
FRESH_SECONDS: Final = 5.0  # a message that waited longer in our buffer has its time begun anew
STALE_SECONDS: Final = 20.0  # one that waited longer is dropped: it comes again, maybe to another replica
RETRY_SECONDS: Final = 0.25


class Pulled(NamedTuple):
    """A message that was pulled, and when (seconds of the loop's clock)."""

    message: Incoming
    arrived_at: float

    @property
    def times_delivered(self) -> int:
        """1 at first. From `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<times>.…` (NATS ADR-15)."""
        tokens = self.message.reply.split(b".")
        return int(tokens[4 if len(tokens) == 9 else 6])


class Puller:
    """Takes messages from the consumer of that name of each stream; makes the consumers, again if they vanish."""

    def __init__(self, link: NatsLink, streams: Sequence[str], durable: str, config: Mapping[str, Any]) -> None:
        self._link = link
        self._durable = durable
        self._config = {"durable_name": durable, "ack_policy": "explicit", "ack_wait": ACK_WAIT_SECONDS * SECOND} | {
            **config
        }
        self._buffer: deque[Pulled] = deque()
        self._arrived = asyncio.Event()
        self._appetite = 0
        self._pulls = [_Pull(self, link, stream, durable) for stream in streams]
        link.after_regaining(self._forget_pulls)

    async def take(self, at_most: int, wait_seconds: float) -> list[Pulled]:
        """Take what is there, or wait for some; raises SpoolUnavailable when NATS or a stream is away."""
        self._appetite = at_most
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_seconds
        trouble = ""
        while True:
            taken = self._take_buffered(at_most)
            if taken:
                return taken
            trouble = await self._keep_pulling(end - loop.time())
            left = end - loop.time()
            if left <= 0:
                break
            self._arrived.clear()
            if not self._buffer:
                await self._wait_for_some(min(left, RETRY_SECONDS if trouble else 1.0))
        if trouble:
            raise SpoolUnavailable(trouble)
        return []

    async def close(self) -> None:
        """Pull no more; what waits in the buffer goes to another replica at once."""
        self._appetite = 0
        for pull in self._pulls:
            pull.close()
        with contextlib.suppress(LinkDown):
            await self._link.flush()  # after it no more can come
        while self._buffer:
            self.answer(self._buffer.popleft().message, b"-NAK")

    def answer(self, message: Incoming, word: bytes) -> bool:
        """Send `+ACK`, `-NAK`, `+WPI` or `+TERM` for a message, not waited for; tells whether it went out."""
        try:
            self._link.publish(message.reply.decode(), word)
        except LinkDown as error:
            log.info("acknowledgement could not be sent", because=str(error))
            return False
        return True

    def arrived(self, message: Incoming) -> None:
        """Put a message into the buffer."""
        self._buffer.append(Pulled(message, asyncio.get_running_loop().time()))
        self._arrived.set()

    def next_batch(self) -> int:
        """Say how many a stream may be asked for now; 0 when the buffer holds enough."""
        room = self._appetite - len(self._buffer)
        return max(1, self._appetite // len(self._pulls)) if room > 0 else 0

    def wake(self) -> None:
        """Let `take` look anew at its pulls."""
        self._arrived.set()

    def _take_buffered(self, at_most: int) -> list[Pulled]:
        now = asyncio.get_running_loop().time()
        taken: list[Pulled] = []
        while self._buffer and len(taken) < at_most:
            pulled = self._buffer.popleft()
            age = now - pulled.arrived_at
            if age > STALE_SECONDS:
                continue
            if age > FRESH_SECONDS:
                self.answer(pulled.message, b"+WPI")
            taken.append(pulled)
        if taken:
            for pull in self._pulls:
                pull.keep_going()
        return taken

    async def _keep_pulling(self, within_seconds: float) -> str:
        """See that each stream has a pull; gives what stands against it, or ""."""
        if not self._link.is_connected and not await self._link.wait_connected(max(within_seconds, 0)):
            return "not connected to NATS"
        trouble = ""
        for pull in self._pulls:
            try:
                if not pull.has_consumer:
                    await self._make_consumer(pull.stream, max(within_seconds, RETRY_SECONDS))
                    pull.has_consumer = True
                pull.keep_going()
            except (JetStreamRefused, JetStreamUnavailable) as error:
                trouble = f"{pull.stream}: {error}"
        return trouble

    async def _make_consumer(self, stream: str, within_seconds: float) -> None:
        await jetstream.call(
            self._link,
            f"CONSUMER.DURABLE.CREATE.{stream}.{self._durable}",
            {"stream_name": stream, "config": self._config},
            min(within_seconds, jetstream.WITHIN_SECONDS),
        )

    async def _wait_for_some(self, within_seconds: float) -> None:
        try:
            async with asyncio.timeout(within_seconds):
                await self._arrived.wait()
        except TimeoutError:
            return

    def _forget_pulls(self) -> None:
        for pull in self._pulls:
            pull.is_over()
        self.wake()


class _Pull:
    """The long pull of one stream."""

    def __init__(self, puller: Puller, link: NatsLink, stream: str, durable: str) -> None:
        self.stream = stream
        self.has_consumer = False
        self._puller = puller
        self._link = link
        self._subject = f"{jetstream.API}.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = link.new_inbox()
        self._subscription = link.subscribe(f"{self._inbox}.*", self._take)
        self._number = 0
        self._wanted = 0  # what is still to come of the pull under way; 0: none is
        self._heard_at = 0.0

    def keep_going(self) -> None:
        """Begin a pull when none is under way and there is room for its messages."""
        now = asyncio.get_running_loop().time()
        batch = self._puller.next_batch()
        if not batch or not self.has_consumer or (self._wanted and now - self._heard_at < SILENCE_SECONDS):
            return
        body = {"batch": batch, "expires": EXPIRES_SECONDS * SECOND, "idle_heartbeat": HEARTBEAT_SECONDS * SECOND}
        self._number += 1
        try:
            self._link.publish(self._subject, msgspec.json.encode(body), reply=f"{self._inbox}.{self._number}")
        except LinkDown:
            return  # the link tells when it is back
        self._wanted = batch
        self._heard_at = now

    def is_over(self) -> None:
        """Take the pull under way as ended."""
        self._wanted = 0

    def close(self) -> None:
        """Have the server send no more."""
        self._link.unsubscribe(self._subscription, keep_taking=True)

    def _take(self, message: Incoming) -> None:
        status = message.status
        if not status:
            self._heard_at = asyncio.get_running_loop().time()
            self._wanted = max(0, self._wanted - 1)
            self._puller.arrived(message)
            if not self._wanted:
                self.keep_going()
        elif message.subject.rpartition(b".")[2] == b"%d" % self._number:  # not of a pull given up before
            self._take_status(status, message)

    def _take_status(self, status: int, message: Incoming) -> None:
        """100: still there; 404, 408: no message within the time; else something is wrong with the consumer."""
        self._heard_at = asyncio.get_running_loop().time()
        if status == 100:
            return
        self._wanted = 0
        if status not in {404, 408}:
            log.info("pull ended", stream=self.stream, status=status, because=(message.header or b"")[13:60].decode())
            self.has_consumer = False
        self._puller.wake()
