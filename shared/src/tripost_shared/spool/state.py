"""What an operator sees of SPOOL: how much waits, and whether it is trimmed. Pure.

All counts are of what the streams hold: bundles of one message or a few (`tripost_shared.spool.bundle`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

STUCK_AFTER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One stream, as its consumer has it, for all replicas together."""

    stream: str
    waiting: int  # bundles that nobody has taken yet
    attempted: int  # taken, and not yet acknowledged
    untrimmed: int  # from the oldest one that is not acknowledged to the newest
    oldest_sequence: int  # of the oldest one that is not acknowledged
    stuck_for: timedelta = timedelta(0)  # how long that one has kept acknowledged messages in the stream

    @property
    def is_stuck(self) -> bool:
        """Whether one message has held up the trimming for so long that somebody should look."""
        return self.stuck_for >= STUCK_AFTER


@dataclass(frozen=True, slots=True)
class SpoolState:
    """All streams, and how many messages are parked since they cannot be read.

    `neglected_because`: what has kept us from looking after them for a while; "" for nothing.
    """

    partitions: tuple[PartitionState, ...] = ()
    unreadable: int = 0
    neglected_because: str = ""

    @property
    def troubles(self) -> tuple[str, ...]:
        """Say what somebody should look at."""
        stuck = tuple(
            f"{partition.stream} not trimmed for {partition.stuck_for // timedelta(minutes=1)} min"
            for partition in self.partitions
            if partition.is_stuck
        )
        neglected = (f"neither watched nor trimmed: {self.neglected_because}",) if self.neglected_because else ()
        unreadable = (f"{self.unreadable} unreadable",) if self.unreadable else ()
        return (*neglected, *stuck, *unreadable)

    def __str__(self) -> str:
        """Say it in a few words: `12 bundles wait, 3 attempted; SPOOL_2 not trimmed for 7 min; 1 unreadable`."""
        waiting = sum(partition.waiting for partition in self.partitions)
        attempted = sum(partition.attempted for partition in self.partitions)
        return "; ".join((f"{waiting} bundles wait, {attempted} attempted", *self.troubles))


class FloorWatch:
    """Watches the sequence number below which all of one stream is acknowledged."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._floor = -1
        self._held_since = 0.0

    def see(self, consumer: Mapping[str, Any], now: float) -> PartitionState:
        """Note an answer to CONSUMER.INFO that came at `now` (seconds of a clock that only goes on)."""
        floor: int = consumer["ack_floor"]["stream_seq"]
        delivered: int = consumer["delivered"]["stream_seq"]
        attempted: int = consumer["num_ack_pending"]
        waiting: int = consumer["num_pending"]
        acknowledged_above = delivered - floor - attempted
        if floor != self._floor or acknowledged_above <= 0:
            self._floor = floor
            self._held_since = now
        return PartitionState(
            self._stream,
            waiting,
            attempted,
            untrimmed=max(0, delivered - floor) + waiting,
            oldest_sequence=floor + 1,
            stuck_for=timedelta(seconds=now - self._held_since),
        )
