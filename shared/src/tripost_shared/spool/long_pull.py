"""The long pull from one stream's durable consumer, which is made and looked after here.

Whether a message may be repeated. A consumer that was made anew, or whose server crashed, knows nothing of some
deliveries and acknowledgements: what was done and not yet trimmed comes once more, and counts as delivered for the
first time. So each time when the consumer comes in doubt (at first, when the connection was lost, when a pull ends
oddly or falls silent, when the count of deliveries falls back) it is made, which changes nothing when it is there, and
then the stream is asked for its last sequence number: what is stored up to that may be repeated, and what is stored
later may not, since all that could be forgotten was delivered before. Until then everything may be repeated.

The number is asked for last, so that a consumer that vanishes between the two questions costs no more than a needless
"may be". What stays possible: while no pull of ours is under way (our buffer is full), the consumer vanishes and
another reader makes it anew. Then no status tells us, only the falling count: too late for what is in our buffer
already, and not at all if others take more meanwhile than the vanished consumer had delivered since its beginning.
"""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import SECOND, JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import LinkDown, NatsLink

log = structlog.get_logger()

EXPIRES_SECONDS: Final = 30
HEARTBEAT_SECONDS: Final = 5
SILENCE_SECONDS: Final = 2.5 * HEARTBEAT_SECONDS  # a pull of which nothing was heard for so long is dead
RETRY_SECONDS: Final = 0.25
STILL_THERE: Final = 100
NO_MESSAGE_IN_TIME: Final = frozenset({404, 408})
EVERYTHING: Final = sys.maxsize


class Numbers(NamedTuple):
    """What the subject to acknowledge a message on tells (NATS ADR-15)."""

    times_delivered: int
    sequence: int  # in the stream
    delivery: int  # how many deliveries the consumer had counted, this one included

    @staticmethod
    def of(message: Incoming) -> "Numbers":
        """Read `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<times>.<sequence>.<delivery>.…`."""
        tokens = message.reply.split(b".")
        first = 4 if len(tokens) == 9 else 6
        return Numbers(int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 2]))


class Taker(Protocol):
    """Where the messages go."""

    def arrived(self, pull: "LongPull", message: Incoming, numbers: Numbers) -> None:
        """Take a message."""
        ...

    def next_batch(self) -> int:
        """Say how many a stream may be asked for now; 0: none."""
        ...


class LongPull:
    """The long pull of one stream; `trouble` is what stands against it, or ""."""

    def __init__(self, taker: Taker, link: NatsLink, stream: str, consumer: Mapping[str, Any]) -> None:
        self.stream = stream
        self.trouble = ""
        self._taker = taker
        self._link = link
        self._consumer = consumer
        self._inbox = link.new_inbox()
        self._subscription = link.subscribe(f"{self._inbox}.*", self._take)
        self._number = 0
        self._wanted = 0  # what is still to come of the pull under way; 0: none is
        self._heard_at = 0.0
        self._doubts = 1  # how often the consumer came in doubt
        self._is_trusted = False
        self._repeats_up_to = EVERYTHING
        self._last_delivery = 0
        self._verifying: asyncio.Task[None] | None = None
        self._verify_from = 0.0
        self._is_closed = False

    def may_be_repeated(self, numbers: Numbers) -> bool:
        """Tell whether an earlier taker may have done some or all of a message, by what is known now."""
        if not self._link.is_connected:  # whoever still is connected may get it too
            return True
        return numbers.times_delivered > 1 or numbers.sequence <= self._repeats_up_to

    def keep_going(self) -> None:
        """Look after the consumer, or begin a pull when none is under way and there is room for its messages."""
        if self._is_closed:
            return
        now = asyncio.get_running_loop().time()
        if self._wanted and now - self._heard_at >= SILENCE_SECONDS:
            self.doubt()
        if not self._is_trusted:
            self._begin_verifying(now)
        elif not self._wanted and (batch := self._taker.next_batch()):
            self._begin_pull(batch, now)

    def doubt(self) -> None:
        """Take the pull under way as ended, and the consumer as one that may have forgotten what it delivered."""
        self._wanted = 0
        self._doubts += 1
        self._is_trusted = False
        self._repeats_up_to = EVERYTHING
        self._verify_from = 0.0

    def close(self) -> None:
        """Have the server send no more; what it has sent already is still taken."""
        self._is_closed = True
        self._link.unsubscribe(self._subscription, keep_taking=True)
        if self._verifying is not None:
            self._verifying.cancel()

    def _begin_pull(self, batch: int, now: float) -> None:
        body = {"batch": batch, "expires": EXPIRES_SECONDS * SECOND, "idle_heartbeat": HEARTBEAT_SECONDS * SECOND}
        subject = f"{jetstream.API}.CONSUMER.MSG.NEXT.{self.stream}.{self._consumer['durable_name']}"
        self._number += 1
        try:
            self._link.publish(subject, msgspec.json.encode(body), reply=f"{self._inbox}.{self._number}")
        except LinkDown:
            return  # the link tells when it is back
        self._wanted = batch
        self._heard_at = now

    def _begin_verifying(self, now: float) -> None:
        if now >= self._verify_from and (self._verifying is None or self._verifying.done()):
            self._verifying = asyncio.get_running_loop().create_task(self._verify())

    async def _verify(self) -> None:
        doubts = self._doubts
        try:
            consumer = await jetstream.call(
                self._link,
                f"CONSUMER.DURABLE.CREATE.{self.stream}.{self._consumer['durable_name']}",
                {"stream_name": self.stream, "config": self._consumer},
            )
            delivered: int = consumer["delivered"]["consumer_seq"]
            last = await jetstream.last_sequence(self._link, self.stream)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            self._note_trouble(str(error))
            return
        except Exception as error:  # an entrance: nothing else brings the consumer back
            log.exception("consumer could not be looked after", stream=self.stream)
            self._note_trouble(repr(error))
            return
        self.trouble = ""
        if doubts == self._doubts:  # else something happened meanwhile, and the number may be too old
            self._is_trusted = True
            self._repeats_up_to = last
            self._last_delivery = delivered
        self._verifying = None
        self.keep_going()

    def _note_trouble(self, because: str) -> None:
        self.trouble = f"{self.stream}: {because}"
        self._wait_before_verifying()

    def _wait_before_verifying(self) -> None:
        loop = asyncio.get_running_loop()
        self._verify_from = loop.time() + RETRY_SECONDS
        loop.call_later(RETRY_SECONDS + 0.01, self.keep_going)

    def _take(self, message: Incoming) -> None:
        status = message.status
        if not status:
            self._heard_at = asyncio.get_running_loop().time()
            self._wanted = max(0, self._wanted - 1)
            numbers = Numbers.of(message)
            if numbers.delivery <= self._last_delivery:
                log.warning("consumer has begun to count anew", stream=self.stream, delivery=numbers.delivery)
                self.doubt()
            self._last_delivery = numbers.delivery
            self._taker.arrived(self, message, numbers)
            if not self._wanted:
                self.keep_going()
        elif message.subject.rpartition(b".")[2] == b"%d" % self._number:  # not of a pull given up before
            self._take_status(status, message)

    def _take_status(self, status: int, message: Incoming) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if status == STILL_THERE:
            return
        self._wanted = 0
        if status not in NO_MESSAGE_IN_TIME:  # something is wrong with the consumer
            log.info("pull ended", stream=self.stream, status=status, because=(message.header or b"")[13:60].decode())
            self.doubt()
            self._wait_before_verifying()  # it may be so for a while, and would be asked without end
        self.keep_going()
