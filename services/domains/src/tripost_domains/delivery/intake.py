"""The intake: takes messages from SPOOL, has them attempted and settled, and keeps them ours meanwhile."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.delivery import metrics
from tripost_domains.delivery.acknowledger import Acknowledger, Held
from tripost_domains.delivery.first_attempt import FirstAttempt
from tripost_domains.delivery.patience import until_done
from tripost_domains.delivery.waiting_room import WaitingRoom
from tripost_shared.clock import Clock
from tripost_shared.spool.port import EventLog, SpoolDelivery, SpoolReader, SpoolUnavailable

log = structlog.get_logger()

FETCH_AT_MOST: Final = 64
FETCH_WAIT: Final = timedelta(seconds=1)
KEEP_ALIVE_EVERY: Final = timedelta(seconds=5)  # SPOOL gives a message to somebody else after 15 s of silence
LAST_FLUSH_WITHIN: Final = timedelta(seconds=2)
AFTER_BREAKAGE: Final = timedelta(seconds=30)
MAX_BROKEN: Final = 10_000
MOST_BREAKAGES: Final = 5  # in this process
MOST_DELIVERIES: Final = 20  # by SPOOL: most of them may have come of a slow or stopped process, and harmed nobody
PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be at hand at one time, so that an outage fills a bounded memory and then stops the taking.

    Messages that have a place in the `WaitingRoom` do not count, their octets do.
    """

    messages: int = 500
    octets: int = 64 * 1024 * 1024


@dataclass(slots=True)
class Breakage:
    """What is remembered of a message that broke the intake: what was settled of it, and how often it did."""

    settled: set[str] = field(default_factory=set)
    times: int = 0


class Intake:
    """Works off SPOOL."""

    def __init__(
        self,
        reader: SpoolReader,
        attempt: FirstAttempt,
        events: EventLog,
        clock: Clock,
        room: Room,
        queueing: WaitingRoom,
    ) -> None:
        self._reader = reader
        self._attempt = attempt
        self._clock = clock
        self._room = room
        self._queueing = queueing
        self._at_hand: dict[str, Held] = {}  # by the message's id
        self._octets = 0
        self._broken: dict[str, Breakage] = {}  # by the message's id
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_room = asyncio.Event()
        queueing.when_entered(self._has_room.set)
        self._acknowledger = Acknowledger(events, self._release)
        self._loops: list[asyncio.Task[None]] = []
        self._fetching: asyncio.Task[None] | None = None

    @property
    def messages_at_hand(self) -> int:
        """How many messages are taken and not yet acknowledged."""
        return len(self._at_hand)

    @property
    def is_at_work(self) -> bool:
        """Whether all runs that takes, keeps and acknowledges messages."""
        return self._fetching is not None and not any(task.done() for task in (self._fetching, *self._loops))

    def start(self) -> None:
        """Begin to take messages."""
        self._fetching = asyncio.create_task(self._fetch())
        self._loops = [asyncio.create_task(self._acknowledger.run()), asyncio.create_task(self._keep_alive())]

    async def drain(self) -> None:
        """Take no more, and finish what is at hand, for as long as that takes."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})
        while self._at_hand:
            self._has_room.clear()
            await self._has_room.wait()

    async def stop(self) -> None:
        """End; what is settled is acknowledged if its facts can be flushed, the rest goes back into SPOOL."""
        tasks = {*self._tasks, *self._loops, *([self._fetching] if self._fetching is not None else [])}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._at_hand:
            await self._acknowledger.end(LAST_FLUSH_WITHIN)
        for held in self._at_hand.values():
            await self._put_back(held, timedelta(0))

    async def _fetch(self) -> None:
        while True:
            room = self._room.messages - (len(self._at_hand) - self._queueing.occupied)
            if room <= 0 or self._octets >= self._room.octets:
                self._has_room.clear()
                await self._has_room.wait()
                continue
            try:
                await self._fetch_some(min(FETCH_AT_MOST, room))
            except Exception:  # an entrance: no mail would be delivered any more
                log.exception("mail could not be taken from SPOOL")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _fetch_some(self, at_most: int) -> None:
        fetched = await until_done(
            lambda: self._reader.fetch(at_most, FETCH_WAIT), (SpoolUnavailable,), "fetch from SPOOL"
        )
        self._take(fetched)

    def _take(self, fetched: Sequence[SpoolDelivery]) -> None:
        now = self._clock.monotonic()
        for delivery in fetched:
            known = self._at_hand.get(delivery.message.id)
            if known is not None:
                known.delivery = delivery
                continue
            held = Held(delivery, now)
            self._at_hand[delivery.message.id] = held
            self._octets += len(delivery.message.content.inline or b"")
            task = asyncio.create_task(self._work(held))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        metrics.AT_HAND.set(len(self._at_hand))

    async def _work(self, held: Held) -> None:
        message = held.message
        breakage = self._broken.pop(message.id, Breakage())
        held.settled |= breakage.settled
        try:
            await self._attempt.make(message, held.settled, may_be_repeated=held.delivery.may_be_repeated)
        except Exception as error:  # an entrance: a message that breaks us must harm no other, nor be lost
            times = breakage.times + 1
            log.exception("message broke the intake", message_id=message.id, times=times)
            if not await self._was_given_up(held, times, error):
                if len(self._broken) < MAX_BROKEN:
                    self._broken[message.id] = Breakage(held.settled, times)
                await self._put_back(held, AFTER_BREAKAGE)
                self._release(held)
                return
        metrics.MESSAGE_SECONDS.observe(self._clock.monotonic() - held.taken_at)
        self._acknowledger.add(held)

    async def _was_given_up(self, held: Held, times: int, error: Exception) -> bool:
        """Have a message held that broke us often enough, so that SPOOL is rid of it; False: it is to come again.

        SPOOL's count stands in for what other processes suffered, but counts what was only slow as well.
        """
        if times < MOST_BREAKAGES and held.delivery.times_delivered < MOST_DELIVERIES:
            return False
        try:
            await self._attempt.give_up(held.message, held.settled, error)
        except Exception:  # whatever it is: the message comes again instead
            log.exception("message could not be held", message_id=held.message.id)
            return False
        return True

    async def _put_back(self, held: Held, delay: timedelta) -> None:
        try:
            await held.delivery.put_back(delay)
        except Exception as error:  # whatever it is: SPOOL gives the message again once it has not heard of it for 15 s
            log.warning("message will come again by itself", message_id=held.message.id, because=str(error))

    def _release(self, held: Held) -> None:
        """Forget a message, acknowledged or given back."""
        if self._at_hand.pop(held.message.id, None) is not None:
            self._octets -= len(held.message.content.inline or b"")
            self._has_room.set()
            metrics.AT_HAND.set(len(self._at_hand))

    async def _keep_alive(self) -> None:
        """Tell SPOOL that work goes on, for all messages that are at hand for a while."""
        while True:
            await asyncio.sleep(KEEP_ALIVE_EVERY.total_seconds())
            before = self._clock.monotonic() - KEEP_ALIVE_EVERY.total_seconds()
            for held in [each for each in self._at_hand.values() if each.taken_at <= before]:
                try:
                    await held.delivery.keep_alive()
                except Exception as error:  # the others must be kept nevertheless
                    log.warning("message could not be kept", message_id=held.message.id, because=repr(error))
