"""Counts on JetStream (NATS ADR-49): streams in memory whose messages are counts, changed by `Nats-Incr`.

The acknowledgement tells the new total, so that counting and asking is one message. Counts of short windows lie in a
stream that forgets soon: a key has one a minute of them, and those of a day would be pushed out.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode_json
from tripost_shared.bus.jetstream import SECOND, JetStreamUnavailable, StoredMessage
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import LinkDown, NatsLink, TooLarge
from tripost_shared.clock import Clock
from tripost_shared.counters.port import (
    GROUPS,
    LONGEST_WINDOW_SECONDS,
    OURS,
    Count,
    CountersUnavailable,
    Tally,
    count_at,
    window_at,
)

log = structlog.get_logger()

COUNTERS_SUBJECT: Final = "counters.v1"
WITHIN_SECONDS: Final = 2.0
MOST_LISTED: Final = 100_000
MOST_KEY_OCTETS: Final = 320  # an address; what is longer is counted by its digest
NO_KEY: Final = "_"  # an empty token is none
SCAN_BATCH: Final = 1024


class Span(NamedTuple):
    """A group's windows up to this length, and the stream that they lie in."""

    group: str
    window: str
    longest_window_seconds: int

    @property
    def name(self) -> str:
        """Its token in subjects."""
        return f"{self.group}-{self.window}" if self.group else self.window

    @property
    def stream(self) -> str:
        """The stream's name."""
        return f"COUNTERS_{self.name.upper().replace('-', '_')}"

    @property
    def subjects(self) -> str:
        """All subjects of the stream."""
        return f"{COUNTERS_SUBJECT}.{self.name}.>"

    @property
    def max_age(self) -> int:
        """Nanoseconds after its last change at which a count is of no more use, with some for clocks that differ."""
        return (self.longest_window_seconds * 25 // 24 + 60) * SECOND


WINDOWS: Final = (("minute", 60), ("hour", 3600), ("day", LONGEST_WINDOW_SECONDS))
SPANS: Final = tuple(Span(group, name, seconds) for group in GROUPS for name, seconds in WINDOWS)


class _Acknowledgement(msgspec.Struct):
    val: str = ""
    error: dict[str, Any] | None = None


class _Value(msgspec.Struct):
    val: str


class JetStreamCounters:
    """Counts that all replicas see."""

    def __init__(self, link: NatsLink, clock: Clock) -> None:
        self._link = link
        self._clock = clock

    async def add(self, kind: str, key: str, window_seconds: int, amount: int = 1, group: str = OURS) -> int:
        """Add to the count of the window that is now; gives its new total."""
        return (await self.add_all([(count_at(self._clock.now(), kind, key, window_seconds, group), amount)]))[0]

    async def add_all(self, increments: Sequence[tuple[Count, int]]) -> list[int]:
        """Add to several counts; all leave with this turn of the event loop, and one timer watches over them."""
        messages = [(_subject(count), b"NATS/1.0\r\nNats-Incr: %+d\r\n\r\n" % amount) for count, amount in increments]
        return await _together(self._link, messages, _total_of_acknowledgement)

    async def read(self, kind: str, key: str, window_seconds: int, group: str = OURS) -> int:
        """Give the total of the window that is now."""
        return (await self.read_all([count_at(self._clock.now(), kind, key, window_seconds, group)]))[0]

    async def read_all(self, counts: Sequence[Count]) -> list[int]:
        """Give the totals of several counts."""
        messages = [(f"{jetstream.API}.DIRECT.GET.{_span(count).stream}.{_subject(count)}", b"") for count in counts]
        return await _together(self._link, messages, _total_of_stored)

    async def tallies(self, kind: str) -> list[Tally]:
        """List a kind's counts, of this window and the one before, 100,000 at most."""
        listed: dict[Count, Tally] = {}  # what is counted meanwhile comes again, with its new total
        now = self._clock.now()
        try:
            for span in SPANS:
                subject = f"{COUNTERS_SUBJECT}.{span.name}.{kind}.>"
                async for message in jetstream.scan(self._link, span.stream, subject, SCAN_BATCH):
                    tally = _tally(message)
                    if tally is None or tally.of.number < window_at(now, tally.of.window_seconds) - 1:
                        continue
                    if len(listed) >= MOST_LISTED:
                        log.warning("more counts than are listed", kind=kind, listed=len(listed))
                        return list(listed.values())
                    listed[tally.of] = tally
        except JetStreamUnavailable as error:
            raise CountersUnavailable(str(error)) from error
        return list(listed.values())


async def _together(
    link: NatsLink, messages: Sequence[tuple[str, bytes]], total_of: Callable[[Incoming], int]
) -> list[int]:
    """Send all, and give what the answers say, in the order of the messages."""
    answers = _Answers(len(messages), total_of)
    tokens: list[bytes] = []
    try:
        for number, (subject, fields) in enumerate(messages):
            tokens.append(link.begin(subject, b"", fields, partial(answers.take, number)))
        async with asyncio.timeout(WITHIN_SECONDS):
            return await answers.all
    except (LinkDown, TooLarge) as error:
        raise CountersUnavailable(str(error)) from error
    except TimeoutError as error:
        raise CountersUnavailable(f"{messages[0][0]}: no answer within {WITHIN_SECONDS:g} s") from error
    finally:
        for token in tokens:
            link.forget(token)


class _Answers:
    """Answers that are awaited together; the first failure is that of all."""

    def __init__(self, expected: int, total_of: Callable[[Incoming], int]) -> None:
        self.all: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._totals = [0] * expected
        self._missing = expected
        self._total_of = total_of
        if not expected:
            self.all.set_result([])

    def take(self, number: int, message: Incoming | None) -> None:
        """Note one."""
        if self.all.done():
            return
        try:
            if message is None:
                raise CountersUnavailable("the connection to NATS was lost")
            self._totals[number] = self._total_of(message)
        except CountersUnavailable as error:
            self.all.set_exception(error)
            return
        self._missing -= 1
        if not self._missing:
            self.all.set_result(self._totals)


def _total_of_acknowledgement(message: Incoming) -> int:
    if message.status:
        raise CountersUnavailable(f"adding ended with {message.status}")
    try:
        answer = decode_json(message.data, _Acknowledgement)
        if answer.error is not None:
            raise CountersUnavailable(f"refused: {answer.error.get('description', '')}")
        return int(answer.val)
    except (msgspec.DecodeError, ValueError) as error:
        raise CountersUnavailable("the acknowledgement cannot be read") from error


def _total_of_stored(message: Incoming) -> int:
    if message.status == 404:
        return 0
    if message.status:
        raise CountersUnavailable(f"reading ended with {message.status}")
    total = _stored_total(message.data)
    if total is None:
        raise CountersUnavailable("the count cannot be read")
    return total


def _stored_total(payload: bytes) -> int | None:
    try:
        return int(decode_json(payload, _Value).val)
    except (msgspec.DecodeError, ValueError):
        return None


def _span(count: Count) -> Span:
    """Give the span that the count belongs to; raises ValueError for windows that are too long."""
    for span in SPANS:
        if span.group == count.group and count.window_seconds <= span.longest_window_seconds:
            return span
    raise ValueError(f"a window of {count.window_seconds} s: {LONGEST_WINDOW_SECONDS} s at most")


def _subject(count: Count) -> str:
    span = _span(count)
    return f"{COUNTERS_SUBJECT}.{span.name}.{count.kind}.{_token(count.key)}.{count.window_seconds}.{count.number}"


def _token(key: str) -> str:
    """Give the key as a subject's token; base64url, so that whatever text is one and can be read back."""
    octets = key.encode("utf-8", "surrogateescape")
    if len(octets) > MOST_KEY_OCTETS:
        octets = b"sha256:" + hashlib.sha256(octets).hexdigest().encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode() or NO_KEY


def _tally(message: StoredMessage) -> Tally | None:
    """Read a stored count; None: it is none of ours."""
    parts = message.subject.removeprefix(f"{COUNTERS_SUBJECT}.").split(".")
    total = _stored_total(message.data)
    if len(parts) != 5 or total is None:
        return None
    name, kind, key, window_seconds, number = parts
    group = next((span.group for span in SPANS if span.name == name), OURS)
    try:
        octets = b"" if key == NO_KEY else base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
        count = Count(kind, octets.decode("utf-8", "surrogateescape"), int(window_seconds), int(number), group)
    except ValueError:
        return None
    return Tally(count, total)
