"""Pulling from durable JetStream consumers: one long pull a stream at any time, into one small buffer."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog

from tripost_shared.bus.jetstream import SECOND
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import LinkDown, NatsLink
from tripost_shared.spool.buffer import Buffer, Waiting
from tripost_shared.spool.long_pull import LongPull, Numbers
from tripost_shared.spool.port import SpoolUnavailable

log = structlog.get_logger()

ACK_WAIT_SECONDS: Final = 15  # what a killed reader had comes again after this; a living one is heard every five
TEND_SECONDS: Final = 5.0  # how often the server hears of what waits in the buffer
FRESH_SECONDS: Final = 5.0  # of a message that is handed out later, the server hears once more
LOOK_AGAIN_SECONDS: Final = 1.0


class Pulled(NamedTuple):
    """A message that was pulled; `times_delivered` and `may_be_repeated` as SpoolDelivery has them."""

    message: Incoming
    times_delivered: int
    may_be_repeated: bool


class Puller:
    """Takes messages from the consumer of that name of each stream; makes the consumers, again if they vanish.

    `weigh` tells how much a message counts of what is asked for, `heaviest` how much at most.
    """

    def __init__(
        self,
        link: NatsLink,
        streams: Sequence[str],
        durable: str,
        config: Mapping[str, Any],
        weigh: Callable[[bytes], int] = lambda _: 1,
        heaviest: int = 1,
    ) -> None:
        self._link = link
        self._weigh = weigh
        self._consumer = {"durable_name": durable, "ack_policy": "explicit", "ack_wait": ACK_WAIT_SECONDS * SECOND} | {
            **config
        }
        self._buffer = Buffer(heaviest)
        self._tending: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()
        self._pulls = [LongPull(self, link, stream, self._consumer) for stream in streams]
        link.after_regaining(self._look_anew)

    async def take(self, at_most: int, wait_seconds: float) -> list[Pulled]:
        """Take what is there, or wait for some; raises SpoolUnavailable when NATS or a stream is away."""
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_seconds
        while not (taken := self._take_buffered(at_most)):
            trouble = next((pull.trouble for pull in self._pulls if pull.trouble), "")
            left = end - loop.time()
            if left <= 0:
                if trouble:
                    raise SpoolUnavailable(trouble)
                break
            self._arrived.clear()
            await self._wait_for_some(min(left, LOOK_AGAIN_SECONDS))
        return taken

    def follow(self, streams: Sequence[str]) -> None:
        """Take from these streams from now on."""
        former = {pull.stream: pull for pull in self._pulls}
        for gone in former.keys() - set(streams):
            former[gone].close()
        self._pulls = [former.get(stream) or LongPull(self, self._link, stream, self._consumer) for stream in streams]
        self._arrived.set()

    async def close(self) -> None:
        """Pull no more; what waits in the buffer goes to another replica at once."""
        for pull in self._pulls:
            pull.close()
        with contextlib.suppress(LinkDown):
            await self._link.flush()  # after it no more can come
        if self._tending is not None:
            self._tending.cancel()
        for waiting in self._buffer.close(asyncio.get_running_loop().time()):
            self.answer(waiting.message, b"-NAK")

    def answer(self, message: Incoming, word: bytes) -> bool:
        """Send `+ACK`, `-NAK`, `+WPI` or `+TERM` for a message, not waited for; tells whether it went out."""
        try:
            self._link.publish(message.reply.decode(), word)
        except LinkDown as error:
            log.info("acknowledgement could not be sent", because=str(error))
            return False
        return True

    def arrived(self, pull: LongPull, message: Incoming, numbers: Numbers) -> None:
        """Put a message into the buffer."""
        now = asyncio.get_running_loop().time()
        self._buffer.add(Waiting(pull, message, numbers, self._weigh(message.data), now, now))
        self._tend_later()
        self._arrived.set()

    def next_batch(self) -> int:
        """Say how many a stream may be asked for now; 0 when the buffer holds enough, or nobody asks."""
        return self._buffer.room(len(self._pulls), asyncio.get_running_loop().time())

    def _take_buffered(self, at_most: int) -> list[Pulled]:
        now = asyncio.get_running_loop().time()
        taken: list[Pulled] = []
        for waiting in self._buffer.take(at_most, now):
            if now - waiting.known_at > FRESH_SECONDS:
                self.answer(waiting.message, b"+WPI")
            # Asked only now: the consumer may have come in doubt since, and another replica may have got it too.
            may_be_repeated = waiting.pull.may_be_repeated(waiting.numbers)
            taken.append(Pulled(waiting.message, waiting.numbers.times_delivered, may_be_repeated))
        for pull in self._pulls:
            pull.keep_going()
        return taken

    def _tend_later(self) -> None:
        if self._tending is None and len(self._buffer):
            self._tending = asyncio.get_running_loop().call_later(TEND_SECONDS, self._tend)

    def _tend(self) -> None:
        """Keep what waits in the buffer, or give it back."""
        self._tending = None
        now = asyncio.get_running_loop().time()
        for waiting in self._buffer.stale(now):
            self.answer(waiting.message, b"-NAK")
        for waiting in self._buffer.kept():
            if waiting.is_ours(now) and self.answer(waiting.message, b"+WPI"):
                waiting.known_at = now
        self._tend_later()

    async def _wait_for_some(self, within_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._arrived.wait()

    def _look_anew(self) -> None:
        for pull in self._pulls:
            pull.doubt()
        self._arrived.set()
