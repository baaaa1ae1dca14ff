"""Failed log-ins by the network that they come from, over all sessions of a worker.

A network that has failed too often is refused for a while; a right password from any other network never is.
"""

import hmac
import secrets
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


@dataclass(slots=True)
class _Record:
    """What came from one network since its first attempt: failed guesses, and how many are being verified now."""

    one_ended: Signal
    failed: set[bytes] = field(default_factory=set)
    under_way: int = 0


class Attempt:
    """A log-in that is being verified: `with` it, and `fail` when it was wrong."""

    def __init__(self, record: _Record, key: bytes) -> None:
        self._record = record
        self._key = key

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
        digest = _digest(self._key, username, password)
        is_new = digest not in self._record.failed
        self._record.failed.add(digest)
        return is_new


class LoginFailures:
    """Knows how many different guesses failed of each network within a time that begins with its first attempt.

    Of a guess it keeps an HMAC with a key of this process. With a `limit` of 0 no network is refused.
    """

    def __init__(self, clock: Clock, new_signal: Callable[[], Signal], *, limit: int, seconds: float) -> None:
        self._new_signal = new_signal
        self._limit = limit
        self._records: ShortMemory[str, _Record] = ShortMemory(clock, seconds, CAPACITY)
        self._key = secrets.token_bytes(32)

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
            return Attempt(_Record(self._new_signal()), self._key)
        record = self._records.get(network)
        if record is None:
            record = _Record(self._new_signal())
            self._records.put(network, record)
        while len(record.failed) + record.under_way >= self._limit:
            if len(record.failed) >= self._limit:
                return None
            record.one_ended.clear()
            await record.one_ended.wait()
        return Attempt(record, self._key)


def _digest(key: bytes, username: str, password: str) -> bytes:
    return hmac.digest(key, f"{username}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
