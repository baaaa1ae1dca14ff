"""SPOOL and the event log as services see them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from tripost_shared.contracts.events import Event
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.spool.state import SpoolState


class SpoolFull(Exception):
    """The spool takes no more now (RFC 5321: 452)."""


class SpoolUnavailable(Exception):
    """The spool did not acknowledge in time: the message may or may not be on disk."""


class MessageTooLarge(ValueError):
    """The message with its envelope is larger than the spool ever takes; its content must go by reference."""


class Spool(Protocol):
    """Where edge puts accepted mail, and domains its bounces."""

    async def publish(self, message: SpooledMessage) -> None:
        """Put the message on disk; returns once the server says that it is there.

        Raises SpoolFull, SpoolUnavailable or MessageTooLarge. The same id again within two minutes is kept once only.
        """
        ...


class SpoolDelivery(Protocol):
    """A message taken from the spool and not yet done with."""

    @property
    def message(self) -> SpooledMessage:
        """The message."""
        ...

    @property
    def times_delivered(self) -> int:
        """1 at first; more when an earlier taker did not finish."""
        ...

    @property
    def may_be_repeated(self) -> bool:
        """Whether an earlier taker may have done some or all of it: unsaid, or said and forgotten in a crash."""
        ...

    async def done(self) -> None:
        """Remove it from the spool. Not waited for: after a crash it may come once more."""
        ...

    async def keep_alive(self) -> None:
        """Tell that work on it goes on, so that nobody else gets it."""
        ...

    async def put_back(self, delay: timedelta) -> None:
        """Let it come again after the delay."""
        ...


class SpoolReader(Protocol):
    """Where domains takes mail from; replicas share the work."""

    async def fetch(self, at_most: int, wait: timedelta) -> Sequence[SpoolDelivery]:
        """Take up to so many messages from any partition; an empty list when none came in the time.

        Raises SpoolUnavailable. When it is cancelled it has taken nothing.
        """
        ...

    async def oldest_at(self) -> datetime | None:
        """Tell when the oldest message still in the spool was put there; None: it is empty. Raises SpoolUnavailable.

        What the content store holds from well before that moment belongs to no spooled message. When that cannot be
        known of one, the time is long ago.
        """
        ...

    def state(self) -> SpoolState:
        """Tell how much waits, and whether the spool is trimmed, as seen a few seconds ago; from memory alone."""
        ...


class EventLog(Protocol):
    """Where every service writes facts."""

    def record(self, event: Event) -> None:
        """Note a fact; it is written soon, with others. Never raises, never blocks.

        The buffer is bounded: when the log is unreachable for long, the oldest facts go, and are counted. So does a
        fact that is larger than NATS takes.
        """
        ...

    async def flush(self) -> None:
        """Wait until all recorded so far is on disk; raises SpoolUnavailable when it cannot be."""
        ...


class EventBatchDelivery(Protocol):
    """Facts taken from the log and not yet done with."""

    @property
    def events(self) -> Sequence[Event]:
        """The facts, in the order recorded."""
        ...

    async def done(self) -> None:
        """Remove them from the log."""
        ...


class EventReader(Protocol):
    """Where the tracking takes facts from."""

    async def fetch(self, at_most: int, wait: timedelta) -> Sequence[EventBatchDelivery]:
        """Take up to so many batches; raises SpoolUnavailable. When it is cancelled it has taken nothing."""
        ...

    async def wait_until_done(self, within: timedelta) -> bool:
        """Wait until all that is in the log now is done with, by whichever reader; False: not in that time."""
        ...
