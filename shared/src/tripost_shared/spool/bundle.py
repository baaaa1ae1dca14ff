"""Bundles: accepted messages that go to the disk together, as one message of a SPOOL stream.

JetStream makes an fsync for each message that it stores, 170–210 µs of CPU. While one bundle is on its way the messages
that are accepted meanwhile gather for the next one: on a quiet system each goes alone, at once.

On the wire a bundle is a MessagePack array of SpooledMessages. A SpooledMessage by itself, as releases before bundles
stored it, is read as a bundle of one.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from tripost_shared.bus.encoding import decode
from tripost_shared.bus.jetstream import SECOND
from tripost_shared.contracts.spool import SpooledMessage

MAX_MESSAGES: Final = 15  # MessagePack's short form of an array, whose first octet tells the count
MAX_OCTETS: Final = 256 * 1024
_SHORT_ARRAY: Final = 0x90


def count_of(payload: bytes) -> int:
    """Tell how many messages a bundle holds; 1 for what is none."""
    return max(1, payload[0] & 0x0F) if payload and payload[0] & 0xF0 == _SHORT_ARRAY else 1


def opened(payload: bytes) -> list[SpooledMessage | bytes]:
    """Give a bundle's messages, or their octets where they cannot be read; all of it as one if it is no bundle."""
    try:
        parts = decode(payload, list[msgspec.Raw])
    except msgspec.DecodeError:
        return [_read(payload)]
    return [_read(part) for part in parts] or [payload]


def _read(part: msgspec.Raw | bytes) -> SpooledMessage | bytes:
    octets = bytes(part)
    try:
        return decode(octets, SpooledMessage)
    except msgspec.DecodeError:
        return octets


class Bundle:
    """Messages that gather, and those who wait for them."""

    def __init__(self, most_together: int, max_octets: int = MAX_OCTETS) -> None:
        self._most_together = min(most_together, MAX_MESSAGES)
        self._max_octets = min(max_octets, MAX_OCTETS)
        self.names: list[str] = []
        self.size_octets = 0
        self._parts: list[msgspec.Raw] = []
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def is_full(self) -> bool:
        """Whether no more messages may join."""
        return len(self.names) >= self._most_together or self.size_octets >= self._max_octets

    def has_room(self, octets: bytes) -> bool:
        """Whether one more message may join; the first one always may."""
        return not self.names or (not self.is_full and self.size_octets + len(octets) <= self._max_octets)

    def add(self, name: str, octets: bytes) -> asyncio.Future[None]:
        """Join; gives what to wait for."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.names.append(name)
        self.size_octets += len(octets)
        self._parts.append(msgspec.Raw(octets))
        self._waiting.append(future)
        return future

    @property
    def payload(self) -> bytes:
        """The bundle as it is stored."""
        return msgspec.msgpack.encode(self._parts)

    def singles(self) -> "list[Bundle]":
        """Give each message with who waits for it as a bundle of its own."""
        singles: list[Bundle] = []
        for name, part, waiting in zip(self.names, self._parts, self._waiting, strict=True):
            single = Bundle(1)
            single.names, single._parts, single._waiting = [name], [part], [waiting]
            singles.append(single)
        return singles

    def end(self, failure: Exception | None = None) -> None:
        """Tell all who wait."""
        for future in self._waiting:
            if future.done():
                continue  # its asker was cancelled
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)


class Parcel:
    """A bundle that was taken: answered for as a whole, once each of its messages is done with or put back."""

    def __init__(self, count: int, answer: Callable[[bytes], object]) -> None:
        self._left = count
        self._answer = answer
        self._again_after: timedelta | None = None

    def done(self) -> None:
        """One message less."""
        self._left -= 1
        if self._left:
            return
        self._answer(b"+ACK" if self._again_after is None else put_back(self._again_after))

    def put_back(self, delay: timedelta) -> None:
        """One message is to come again; those that are done with come with it, and are passed over."""
        self._again_after = delay if self._again_after is None else min(delay, self._again_after)
        self.done()

    def keep_alive(self) -> None:
        """Keep all of it."""
        self._answer(b"+WPI")


def put_back(delay: timedelta) -> bytes:
    """Give the answer that has a message come again after the delay."""
    return b'-NAK {"delay": %d}' % int(delay.total_seconds() * SECOND)
