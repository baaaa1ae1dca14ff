"""The resolver: a cache, one question at a time for equal askers, and the servers behind it."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from tripost_shared.clock import Clock
from tripost_shared.dns.exchange import Exchange, NoReply
from tripost_shared.dns.names import normalised
from tripost_shared.dns.port import DnsAnswer, Status
from tripost_shared.dns.wire import Query, Reading

log = structlog.get_logger()

TOTAL_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 3600  # that an answer is remembered
LONGEST_NEGATIVE_SECONDS: Final = 300
FAILURE_SECONDS: Final = 2.0  # RFC 2308 §7 allows five minutes; a client comes back sooner
MOST_REMEMBERED: Final = 20_000
MOST_REMEMBERED_CHARACTERS: Final = 4096  # of one answer: with it the cache is bounded by some 80 MB
MOST_AT_ONCE: Final = 4096
MOST_REFERRALS: Final = 8

NO_NAME: Final = DnsAnswer(Status.NO_NAME)
TOO_LATE: Final = DnsAnswer(Status.FAILED, because="no answer in time")
TOO_MANY: Final = DnsAnswer(Status.FAILED, because="too many look-ups at once")

Key = tuple[str, str]


class CachingResolver:
    """Asks recursive servers, remembers what they say for as long as they say; one instance a process.

    An answer with TTL 0 is for the one look-up that asked for it. Whoever has waited for it with another asks anew, by
    himself and in the time that he has left: what a server means for one use may differ at each.
    """

    def __init__(self, servers: Sequence[str], clock: Clock) -> None:
        self._exchange = Exchange(servers)
        self._clock = clock
        self._remembered: OrderedDict[Key, DnsAnswer] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[DnsAnswer]] = {}  # what others may wait for as well
        self._asking_alone = 0

    async def start(self) -> None:
        """Be ready; sockets are opened by need."""

    async def close(self) -> None:
        """End all look-ups (their askers get FAILED) and close the sockets."""
        self._exchange.close()
        if self._asking:
            await asyncio.wait(set(self._asking.values()))

    @property
    def trouble(self) -> str:
        """Why no server answers anything; "" when all is well, or nothing was asked."""
        return self._exchange.trouble

    async def resolve(self, name: str, record_type: str, within: timedelta | None = None) -> DnsAnswer:
        """Look a name up; FAILED after `within`, 2 s at most."""
        text = normalised(name)
        if text is None:
            return NO_NAME
        key = (text, record_type)
        known = self._recall(key)
        if known is not None:
            return known
        if within is None or within.total_seconds() >= TOTAL_SECONDS:
            return await self._find(key)
        try:
            async with asyncio.timeout(max(0.0, within.total_seconds())):
                return await self._find(key)
        except TimeoutError:
            return TOO_LATE

    def cached(self, name: str, record_type: str) -> DnsAnswer | None:
        """Give what is remembered; a name that cannot exist needs no asking either."""
        answer = self._recall((name, record_type))  # names are mostly asked for as they are remembered
        if answer is not None:
            return answer
        text = normalised(name)
        if text is None:
            return NO_NAME
        return None if text == name else self._recall((text, record_type))

    async def _find(self, key: Key) -> DnsAnswer:
        """Ask for all who want to know; if that is being done, wait, and ask again if the answer is not for sharing."""
        task = self._asking.get(key)
        if task is None:
            if self._has_too_many:
                return TOO_MANY
            task = asyncio.get_running_loop().create_task(self._look_up_for_all(key))
            self._asking[key] = task
            return await asyncio.shield(task)
        end = asyncio.get_running_loop().time() + TOTAL_SECONDS
        answer = await asyncio.shield(task)
        if _seconds_to_remember(answer) > 0:
            return answer
        return TOO_MANY if self._has_too_many else await self._look_up_alone(key, end)

    @property
    def _has_too_many(self) -> bool:
        return len(self._asking) + self._asking_alone >= MOST_AT_ONCE

    async def _look_up_for_all(self, key: Key) -> DnsAnswer:
        try:
            answer = await self._look_up(key, asyncio.get_running_loop().time() + TOTAL_SECONDS)
        finally:
            del self._asking[key]
        self._remember(key, answer)
        return answer

    async def _look_up_alone(self, key: Key, end: float) -> DnsAnswer:
        """Ask for one asker, and remember nothing: a failure for want of time would be everybody's."""
        self._asking_alone += 1
        try:
            return await self._look_up(key, end)
        finally:
            self._asking_alone -= 1

    async def _look_up(self, key: Key, end: float) -> DnsAnswer:
        try:
            answer = await self._ask(key, end)
        except Exception as error:  # an entrance: its askers are promised an answer, and may have given up
            log.exception("look-up broke", name=key[0], record_type=key[1])
            answer = DnsAnswer(Status.FAILED, because=type(error).__name__)
        return replace(answer, good_until=self._clock.monotonic() + _seconds_to_remember(answer))

    async def _ask(self, key: Key, end: float) -> DnsAnswer:
        """Ask the servers, and again for the target where a CNAME leads out of the answer."""
        loop = asyncio.get_running_loop()
        name, record_type = key
        longest = LONGEST_SECONDS
        for _ in range(MOST_REFERRALS):
            query = Query.of(name, record_type)
            try:
                reading = await self._exchange.ask(query, end - loop.time())
            except NoReply as error:
                return DnsAnswer(Status.FAILED, because=str(error))
            longest = min(longest, reading.answer.ttl_seconds)
            if not reading.ask_next:
                return _held_for(reading, longest)
            target = normalised(reading.ask_next)
            if target is None or "\\" in target:  # octets that we never ask for
                return DnsAnswer(Status.NO_DATA)
            name = target
        return DnsAnswer(Status.FAILED, because="CNAME chain too long")

    def _recall(self, key: Key) -> DnsAnswer | None:
        answer = self._remembered.get(key)
        if answer is None:
            return None
        if answer.good_until <= self._clock.monotonic():
            del self._remembered[key]
            return None
        self._remembered.move_to_end(key)
        return answer

    def _remember(self, key: Key, answer: DnsAnswer) -> None:
        if _seconds_to_remember(answer) <= 0 or sum(map(len, answer.records)) > MOST_REMEMBERED_CHARACTERS:
            return
        self._remembered[key] = answer
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)


def _held_for(reading: Reading, longest: int) -> DnsAnswer:
    answer = reading.answer
    if answer.status is Status.FAILED or answer.ttl_seconds <= longest:
        return answer
    return DnsAnswer(answer.status, answer.records, longest)


def _seconds_to_remember(answer: DnsAnswer) -> float:
    match answer.status:
        case Status.FOUND:
            return min(answer.ttl_seconds, LONGEST_SECONDS)
        case Status.FAILED:
            return FAILURE_SECONDS
        case _:
            return min(answer.ttl_seconds, LONGEST_NEGATIVE_SECONDS)
