"""SPOOL on JetStream: streams `SPOOL_<n>` on disk, one durable consumer `deliver` each, trimmed now and then.

A message's id chooses its stream, so that publishing it again meets the server's window of known ids (`Nats-Msg-Id`).
"""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode, encode
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.spool import SPOOL_SUBJECT, SpooledMessage
from tripost_shared.spool.events import JetStreamEventLog, JetStreamEventReader
from tripost_shared.spool.long_pull import SECOND
from tripost_shared.spool.partitions import existing_streams, stream_of
from tripost_shared.spool.port import MessageTooLarge, SpoolFull, SpoolUnavailable
from tripost_shared.spool.pull import Pulled, Puller
from tripost_shared.spool.state import SpoolState
from tripost_shared.spool.trimming import Trimmer

__all__ = [
    "DURABLE",
    "UNREADABLE_STREAM",
    "UNREADABLE_SUBJECT",
    "JetStreamEventLog",
    "JetStreamEventReader",
    "JetStreamSpool",
    "JetStreamSpoolReader",
    "stream_of",
]

log = structlog.get_logger()

DURABLE: Final = "deliver"
UNREADABLE_STREAM: Final = "SPOOL_UNREADABLE"
UNREADABLE_SUBJECT: Final = "spool.unreadable"
TRY_SECONDS: Final = 5.0
GIVE_UP_SECONDS: Final = 8.0  # two tries, or a restart of the server
PAUSE_SECONDS: Final = 0.1
DONE_REMEMBERED: Final = 10_000
UNREADABLE_AGAIN: Final = timedelta(minutes=1)
UNREADABLE_FULL_AGAIN: Final = timedelta(minutes=10)  # until an operator has looked at what is parked
CONSUMER: Final = {"max_deliver": -1, "max_ack_pending": 1000}


class JetStreamSpool:
    """Puts messages on disk."""

    def __init__(self, link: NatsLink, partitions: int) -> None:
        self._link = link
        self._partitions = partitions

    async def publish(self, message: SpooledMessage) -> None:
        """Put the message on disk; raises as the port says. A restart of the server is waited out."""
        subject = f"{SPOOL_SUBJECT}.{zlib.crc32(message.id.encode()) % self._partitions}"
        payload = encode(message)
        header = b"NATS/1.0\r\nNats-Msg-Id: " + message.id.encode() + b"\r\n\r\n"
        loop = asyncio.get_running_loop()
        end = loop.time() + GIVE_UP_SECONDS
        while True:
            self._require_size(len(payload) + len(header))
            left = end - loop.time()
            try:
                await jetstream.publish(self._link, subject, payload, header, min(left, TRY_SECONDS))
            except JetStreamRefused as error:
                if error.number in jetstream.FULL:
                    raise SpoolFull(str(error)) from error
                if error.number in jetstream.TOO_LARGE:
                    raise MessageTooLarge(f"{len(payload)} octets: {error}; content must go by reference") from error
                raise SpoolUnavailable(str(error)) from error
            except JetStreamUnavailable as error:
                if end - loop.time() < PAUSE_SECONDS:
                    raise SpoolUnavailable(str(error)) from error
                await asyncio.sleep(PAUSE_SECONDS)
                await self._link.wait_connected(max(0.0, end - loop.time() - PAUSE_SECONDS))
            else:
                return

    def _require_size(self, octets: int) -> None:
        if octets > self._link.max_payload_octets:
            raise MessageTooLarge(
                f"the message with its envelope is {octets} octets, NATS takes {self._link.max_payload_octets}; "
                "its content must go by reference"
            )


class JetStreamSpoolReader:
    """Takes messages from all partitions: those that its setting wants, and those that others have made.

    Call `close` before the process ends, so that others need not wait.
    """

    def __init__(self, link: NatsLink, partitions: int) -> None:
        self._link = link
        self._streams = [stream_of(partition) for partition in range(partitions)]
        self._puller = Puller(link, self._streams, DURABLE, CONSUMER)
        self._trimmer = Trimmer(link, self._streams, DURABLE, UNREADABLE_STREAM, self._puller.follow)
        self._done: OrderedDict[str, None] = OrderedDict()
        self._parking: set[asyncio.Task[None]] = set()

    async def fetch(self, at_most: int, wait: timedelta) -> Sequence["JetStreamSpoolDelivery"]:
        """Take messages; raises SpoolUnavailable."""
        self._trimmer.start()
        loop = asyncio.get_running_loop()
        end = loop.time() + wait.total_seconds()
        deliveries: list[JetStreamSpoolDelivery] = []
        while not deliveries and (pulled := await self._puller.take(at_most, end - loop.time())):
            deliveries = [delivery for each in pulled if (delivery := self._open(each)) is not None]
        return deliveries

    def _open(self, pulled: Pulled) -> "JetStreamSpoolDelivery | None":
        """Read a message; None when it cannot be read, or was done before and its acknowledgement got lost."""
        try:
            message = decode(pulled.message.data, SpooledMessage)
        except msgspec.DecodeError as error:
            because = str(error)
            log.error("spooled message cannot be read, it is parked", stream=UNREADABLE_STREAM, because=because)  # noqa: TRY400 (a trace tells no more)
            self._park(pulled)
            return None
        if message.id in self._done:
            self._puller.answer(pulled.message, b"+ACK")
            return None
        return JetStreamSpoolDelivery(self, pulled, message)

    async def oldest_at(self) -> datetime | None:
        """Tell when the oldest message still there was stored, unreadable ones included; raises SpoolUnavailable."""
        try:
            names = {*self._streams, *await existing_streams(self._link), UNREADABLE_STREAM}
            times = [await jetstream.first_stored_at(self._link, name) for name in names]
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise SpoolUnavailable(str(error)) from error
        return min((time for time in times if time is not None), default=None)

    def state(self) -> SpoolState:
        """Tell what was seen of the streams a few seconds ago."""
        return self._trimmer.state

    async def close(self) -> None:
        """Take no more; messages that were fetched and not handed out go to another replica at once."""
        await self._trimmer.close()
        await self._puller.close()
        if self._parking:
            await asyncio.wait(set(self._parking))

    def finish(self, delivery: "JetStreamSpoolDelivery") -> None:
        """Acknowledge, and remember it in case that gets lost."""
        self._done[delivery.message.id] = None
        if len(self._done) > DONE_REMEMBERED:
            self._done.popitem(last=False)
        self._puller.answer(delivery.pulled.message, b"+ACK")

    def answer(self, delivery: "JetStreamSpoolDelivery", word: bytes) -> None:
        """Tell the server what becomes of a message."""
        self._puller.answer(delivery.pulled.message, word)

    def _park(self, pulled: Pulled) -> None:
        task = asyncio.get_running_loop().create_task(self._copy_then_end(pulled))
        self._parking.add(task)
        task.add_done_callback(self._parking.discard)

    async def _copy_then_end(self, pulled: Pulled) -> None:
        try:
            await jetstream.publish(self._link, UNREADABLE_SUBJECT, pulled.message.data)
        except JetStreamRefused as error:  # the stream is full: what cannot be parked is not thrown away
            log.error("unreadable message cannot be parked, it stays in the spool", because=str(error))  # noqa: TRY400 (as above)
            self._puller.answer(pulled.message, _put_back(UNREADABLE_FULL_AGAIN))
        except JetStreamUnavailable as error:
            log.warning("unreadable message could not be parked yet", because=str(error))
            self._puller.answer(pulled.message, _put_back(UNREADABLE_AGAIN))
        else:
            self._puller.answer(pulled.message, b"+TERM")


class JetStreamSpoolDelivery:
    """A message taken from SPOOL."""

    def __init__(self, reader: JetStreamSpoolReader, pulled: Pulled, message: SpooledMessage) -> None:
        self.pulled = pulled
        self.message = message
        self._reader = reader

    @property
    def times_delivered(self) -> int:
        """1 at first."""
        return self.pulled.times_delivered

    @property
    def may_be_repeated(self) -> bool:
        """Whether an earlier taker may have done some or all of it."""
        return self.pulled.may_be_repeated

    async def done(self) -> None:
        """Remove it from the spool; not waited for."""
        self._reader.finish(self)

    async def keep_alive(self) -> None:
        """Begin the 30 s anew in which nobody else gets it."""
        self._reader.answer(self, b"+WPI")

    async def put_back(self, delay: timedelta) -> None:
        """Let it come again after the delay."""
        self._reader.answer(self, _put_back(delay))


def _put_back(delay: timedelta) -> bytes:
    return b'-NAK {"delay": %d}' % int(delay.total_seconds() * SECOND)
