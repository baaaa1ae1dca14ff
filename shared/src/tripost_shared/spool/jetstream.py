"""SPOOL on JetStream: streams `SPOOL_<n>` on disk, one durable consumer `deliver` each, trimmed now and then.

A message's name, its id as a rule, chooses its stream, so that publishing it again meets the server's window of known
names (`Nats-Msg-Id`). A bundle has the name of its first message.
"""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import encode
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.spool import SPOOL_SUBJECT, SpooledMessage
from tripost_shared.spool.bundle import MAX_MESSAGES, Bundle, Parcel, count_of, opened
from tripost_shared.spool.events import JetStreamEventLog, JetStreamEventReader
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
LONG_SECONDS: Final = 0.05  # after which a bundle on its way keeps the next one waiting no more
HEADROOM: Final = 256  # octets for what a bundle and the header add to a message
GIVE_UP_SECONDS: Final = 8.0  # two tries, or a restart of the server
PAUSE_SECONDS: Final = 0.1
DONE_REMEMBERED: Final = 10_000
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
UNREADABLE_AGAIN: Final = timedelta(minutes=1)
UNREADABLE_FULL_AGAIN: Final = timedelta(minutes=10)  # until an operator has looked at what is parked
CONSUMER: Final = {"max_deliver": -1, "max_ack_pending": 1000}


class JetStreamSpool:
    """Puts messages on disk, in bundles of `most_together` at most.

    With 1, the server passes over a name that its stream has seen lately, since that is the same message. More are for
    those who never publish a message twice: under a name that the server knows and we have not used, another message is
    in the spool, and this one is not.
    """

    def __init__(self, link: NatsLink, partitions: int, most_together: int = 1) -> None:
        self._link = link
        self._partitions = partitions
        self._most_together = most_together
        self._gathering = self._new_bundle()
        self._under_way: Bundle | None = None  # the youngest, until it is written or has taken long
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    async def publish(self, message: SpooledMessage, name: str = "") -> None:
        """Put the message on disk; raises as the port says. A restart of the server is waited out.

        `name` instead of its id is for a message that is not to be passed over although its id was seen lately.
        """
        octets = encode(message)
        self._require_size(len(octets) + HEADROOM)
        if not self._gathering.has_room(octets):
            self._begin()
        bundle = self._gathering
        waiting = bundle.add(name or message.id, octets)
        if bundle.is_full:
            self._begin()
        elif self._under_way is None and len(bundle.names) == 1:
            asyncio.get_running_loop().call_soon(self._begin_if_free)  # with all that this turn of the loop brings
        await waiting

    def _new_bundle(self) -> Bundle:
        return Bundle(self._most_together, self._link.max_payload_octets - HEADROOM)

    def _begin_if_free(self) -> None:
        if self._under_way is None and self._gathering.names:
            self._begin()

    def _begin(self) -> None:
        """Send what has gathered; what comes meanwhile gathers for the next bundle."""
        loop = asyncio.get_running_loop()
        bundle, self._gathering = self._gathering, self._new_bundle()
        self._under_way = bundle
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(LONG_SECONDS, self._wait_no_more, bundle)
        task = loop.create_task(self._write(bundle))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def _wait_no_more(self, bundle: Bundle) -> None:
        """Let the next bundle begin, since this one is written, or has taken long: its stream may be stuck."""
        if self._under_way is bundle:
            self._under_way = None
            self._begin_if_free()

    async def _write(self, bundle: Bundle) -> None:
        try:
            await self._publish(bundle.names[0], bundle.payload)
        except MessageTooLarge as error:
            if len(bundle.names) == 1:
                bundle.end(error)
                return
            for single in bundle.singles():  # only one of them may be to blame
                await self._write(single)
        except Exception as error:  # whatever it is, it is for those who wait
            bundle.end(error)
        else:
            bundle.end()
        finally:
            self._wait_no_more(bundle)

    async def _publish(self, name: str, payload: bytes) -> None:
        subject = f"{SPOOL_SUBJECT}.{zlib.crc32(name.encode()) % self._partitions}"
        header = b"NATS/1.0\r\nNats-Msg-Id: " + name.encode() + b"\r\n\r\n"
        loop = asyncio.get_running_loop()
        end = loop.time() + GIVE_UP_SECONDS
        may_be_known = self._most_together == 1
        while True:
            self._require_size(len(payload) + len(header))
            left = end - loop.time()
            try:
                is_new = await jetstream.publish_once(self._link, subject, payload, header, min(left, TRY_SECONDS))
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
                may_be_known = True  # by this try, whose acknowledgement got lost
            else:
                if not is_new and not may_be_known:
                    raise SpoolUnavailable(f"another message was spooled under the name {name}")
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
        self._puller = Puller(link, self._streams, DURABLE, CONSUMER, weigh=count_of, heaviest=MAX_MESSAGES)
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
            deliveries = [delivery for each in pulled for delivery in self._open(each)]
        return deliveries

    def _open(self, pulled: Pulled) -> "list[JetStreamSpoolDelivery]":
        """Read a bundle, without what cannot be read, and what was done before when an acknowledgement got lost."""
        messages = opened(pulled.message.data)
        parcel = Parcel(len(messages), partial(self._puller.answer, pulled.message))
        deliveries: list[JetStreamSpoolDelivery] = []
        for message in messages:
            if not isinstance(message, SpooledMessage):
                log.error("spooled message cannot be read, it is parked", stream=UNREADABLE_STREAM)
                self._park(message, parcel)
            elif message.id in self._done:
                parcel.done()
            else:
                deliveries.append(JetStreamSpoolDelivery(self, pulled, parcel, message))
        return deliveries

    async def oldest_at(self) -> datetime | None:
        """Tell when the oldest message still there was stored; raises SpoolUnavailable.

        LONG_AGO while something unreadable is parked: it may have been in the spool for days before.
        """
        try:
            names = {*self._streams, *await existing_streams(self._link)}
            times = [await jetstream.first_stored_at(self._link, name) for name in names]
            # asked last: a message that has left the spool for there meanwhile is seen
            if await jetstream.first_stored_at(self._link, UNREADABLE_STREAM) is not None:
                return LONG_AGO
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

    def note_done(self, message_id: str) -> None:
        """Remember it, in case that its acknowledgement gets lost, or its bundle comes again for another one."""
        self._done[message_id] = None
        if len(self._done) > DONE_REMEMBERED:
            self._done.popitem(last=False)

    def _park(self, octets: bytes, parcel: Parcel) -> None:
        task = asyncio.get_running_loop().create_task(self._copy_then_end(octets, parcel))
        self._parking.add(task)
        task.add_done_callback(self._parking.discard)

    async def _copy_then_end(self, octets: bytes, parcel: Parcel) -> None:
        try:
            await jetstream.publish(self._link, UNREADABLE_SUBJECT, octets)
        except JetStreamRefused as error:  # the stream is full: what cannot be parked is not thrown away
            log.error("unreadable message cannot be parked, it stays in the spool", because=str(error))  # noqa: TRY400 (a trace tells no more)
            parcel.put_back(UNREADABLE_FULL_AGAIN)
        except JetStreamUnavailable as error:
            log.warning("unreadable message could not be parked yet", because=str(error))
            parcel.put_back(UNREADABLE_AGAIN)
        except Exception:  # an entrance: its neighbours wait for it
            log.exception("unreadable message could not be parked")
            parcel.put_back(UNREADABLE_AGAIN)
        else:
            parcel.done()


class JetStreamSpoolDelivery:
    """A message taken from SPOOL."""

    def __init__(self, reader: JetStreamSpoolReader, pulled: Pulled, parcel: Parcel, message: SpooledMessage) -> None:
        self.message = message
        self.times_delivered = pulled.times_delivered
        self.may_be_repeated = pulled.may_be_repeated
        self._reader = reader
        self._parcel = parcel

    async def done(self) -> None:
        """Remove it from the spool; not waited for."""
        self._reader.note_done(self.message.id)
        self._parcel.done()

    async def keep_alive(self) -> None:
        """Begin the time anew in which nobody else gets it."""
        self._parcel.keep_alive()

    async def put_back(self, delay: timedelta) -> None:
        """Let it come again after the delay."""
        self._parcel.put_back(delay)
