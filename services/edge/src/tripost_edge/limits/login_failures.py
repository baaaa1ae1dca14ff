"""Failed log-ins by the network that they come from, over all sessions of all workers of all edges.

Workers tell each other of each guess that has failed, by a mark of it that is too short to find the password by.
A network that has failed too often is refused for a while; a right password from any other network never is.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol

from tripost_edge.limits.short_memory import ShortMemory
from tripost_shared.clock import Clock

CAPACITY: Final = 10_000  # networks remembered


class Signal(Protocol):
    """Something that is waited for, such as an event of the event loop."""

    def set(self) -> None:
        """Let all who wait go on."""
        ...

    def clear(self) -> None:
        """Let those wait who come from now on."""
        ...

    async def wait(self) -> object:
        """Wait until it is set."""
        ...


def _tell_nobody(network: str, mark: int) -> None:
    """Where there is one worker."""


@dataclass(slots=True)
class _Record:
    """What came from one network since its first attempt: failed guesses, and how many are being verified now."""

    one_ended: Signal
    failed: set[int] = field(default_factory=set)  # their marks
    under_way: int = 0


class Attempt:
    """A log-in that is being verified: `with` it, and `fail` when it was wrong."""

    def __init__(self, record: _Record, network: str, tell: Callable[[str, int], None]) -> None:
        self._record = record
        self._network = network
        self._tell = tell

    def __enter__(self) -> "Attempt":
        self._record.under_way += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._record.under_way -= 1
        self._record.one_ended.set()

    def fail(self, username: str, password: str) -> bool:
        """Count the guess, unless it has failed before: a mail program with an old password repeats it for days.

        Tells whether it is counted.
        """
        mark = mark_of(self._network, username, password)
        if mark in self._record.failed:
            return False
        self._record.failed.add(mark)
        self._tell(self._network, mark)
        return True


class LoginFailures:
    """Knows how many different guesses failed of each network within a time that begins with its first attempt.

    Of each guess that fails for the first time `tell` is told, and `hear` takes what the other workers were told. With
    a `limit` of 0 no network is refused. Sequential guesses are counted exactly; those that several workers verify at
    the same moment may be over the limit by as many as were under way elsewhere.
    """

    def __init__(
        self,
        clock: Clock,
        new_signal: Callable[[], Signal],
        *,
        limit: int,
        seconds: float,
        tell: Callable[[str, int], None] = _tell_nobody,
    ) -> None:
        self._new_signal = new_signal
        self._limit = limit
        self._records: ShortMemory[str, _Record] = ShortMemory(clock, seconds, CAPACITY)
        self._tell = tell

    def set_limit(self, limit: int, seconds: float) -> None:
        """Put another limit in force; what is remembered already ends when it would have."""
        self._limit = limit
        self._records.seconds = seconds

    async def attempt(self, network: str) -> Attempt | None:
        """Give the next attempt of a network; None when it has failed too often.

        While so many are being verified that all of them failing would be too often, the next one waits for their end:
        many sessions at once guess no more than one after the other, and many users at once are all let in.
        """
        if not self._limit:
            return Attempt(_Record(self._new_signal()), network, self._tell)
        record = self._record_of(network)
        while len(record.failed) + record.under_way >= self._limit:
            if len(record.failed) >= self._limit:
                return None
            record.one_ended.clear()
            await record.one_ended.wait()
        return Attempt(record, network, self._tell)

    def hear(self, network: str, mark: int) -> None:
        """Count a guess that has failed in another worker."""
        record = self._record_of(network)
        record.failed.add(mark)
        record.one_ended.set()

    def _record_of(self, network: str) -> _Record:
        record = self._records.get(network)
        if record is None:
            record = _Record(self._new_signal())
            self._records.put(network, record)
        return record


def mark_of(network: str, username: str, password: str) -> int:
    """Give the mark of a guess: 24 bits of its digest, which are the same in all workers.

    They tell the few guesses of a network apart. Of a password they say no more than which of 16 million classes it is
    in, so whoever hears them cannot find it by trying.
    """
    guess = f"{network}\0{username}\0{password}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(guess).digest()[:3], "big")
