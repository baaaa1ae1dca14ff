"""What a reader of the spool holds before it hands it out: how much, for how long, and whose it is."""

from collections.abc import Iterable
from typing import cast

import pytest

from tripost_shared.bus.nats_client import Incoming
from tripost_shared.spool.buffer import HOPE_SECONDS, LONGEST_SECONDS, OURS_SECONDS, Buffer, Waiting
from tripost_shared.spool.bundle import count_of
from tripost_shared.spool.long_pull import LongPull, Numbers

HEAVIEST = 15
STREAMS = 4
NOBODY = cast("LongPull", None)


def waiting(number: int, weight: int = 1, since: float = 0.0) -> Waiting:
    return Waiting(NOBODY, Incoming(b"%d" % number, b"", b"", None), Numbers(1, number, number), weight, since, since)


def filled(weights: list[int], since: float = 0.0) -> Buffer:
    buffer = Buffer(HEAVIEST)
    for number, weight in enumerate(weights):
        buffer.add(waiting(number, weight, since))
    return buffer


def numbers(found: Iterable[Waiting]) -> list[int]:
    return [each.numbers.sequence for each in found]


@pytest.mark.parametrize(
    ("weights", "at_most", "asked"),
    [
        pytest.param([], 64, 1, id="nothing known: as if all came in the heaviest bundles"),
        pytest.param([1] * 60, 64, 15, id="messages that come alone are asked for many at a time"),
        pytest.param([HEAVIEST] * 60, 64, 1, id="full bundles are asked for one by one"),
        pytest.param([], 1, 1, id="whoever wants a little gets one bundle at least"),
    ],
)
def test_how_many_bundles_are_asked_for_goes_by_how_many_messages_they_hold(
    weights: list[int], at_most: int, asked: int
) -> None:
    buffer = filled(weights)
    list(buffer.take(10_000, 0.0))
    list(buffer.take(at_most, 0.0))
    assert buffer.room(STREAMS, 0.0) == asked


def test_messages_count_not_bundles() -> None:
    buffer = filled([HEAVIEST] * 6)
    assert numbers(buffer.take(64, 0.0)) == [0, 1, 2, 3, 4]
    assert buffer.room(STREAMS, 0.0) == 1
    for number in range(4):
        buffer.add(waiting(number, HEAVIEST))
    assert buffer.room(STREAMS, 0.0) == 0


@pytest.mark.parametrize(("payload", "count"), [(b"", 1), (b"\x90", 1), (b"\x9f", 15), (b"\x83", 1)])
def test_whatever_a_payload_is_it_counts(payload: bytes, count: int) -> None:
    assert count_of(payload) == count


def test_nothing_is_asked_for_when_nobody_has_asked_for_a_while() -> None:
    """What came would go to nobody: the taker is full, or ends."""
    buffer = filled([])
    list(buffer.take(64, 0.0))
    assert buffer.room(STREAMS, HOPE_SECONDS) == 1
    assert buffer.room(STREAMS, HOPE_SECONDS + 1) == 0


def test_what_waits_is_kept_while_somebody_asks_and_goes_to_another_replica_when_nobody_does() -> None:
    buffer = filled([1, 1])
    assert numbers(buffer.take(1, 10.0)) == [0]
    for each in buffer.kept():
        each.known_at = 25.0
    assert numbers(buffer.stale(10.0 + HOPE_SECONDS)) == []
    assert numbers(buffer.kept()) == [1]
    assert numbers(buffer.stale(11.0 + HOPE_SECONDS)) == [1]
    assert not len(buffer)


def test_what_waits_very_long_goes_to_another_replica_whoever_asks() -> None:
    buffer = filled([1])
    buffer.add(waiting(1, since=30.0))
    now = LONGEST_SECONDS + 1
    for each in buffer.kept():
        each.known_at = now
    assert numbers(buffer.take(0, now)) == []
    assert numbers(buffer.stale(now)) == [0]
    assert numbers(buffer.kept()) == [1]


def test_what_may_be_somebody_elses_by_now_is_neither_handed_out_nor_put_back() -> None:
    """NATS was away for long: to put it back would take it from whoever works on it."""
    late = OURS_SECONDS + 1
    assert numbers(filled([1]).take(64, late)) == []
    assert numbers(filled([1]).stale(late)) == []
    assert numbers(filled([1]).close(late)) == []


def test_who_closes_gives_all_back_and_asks_for_no_more() -> None:
    buffer = filled([1, 1])
    list(buffer.take(1, 0.0))
    assert numbers(buffer.close(0.0)) == [1]
    assert buffer.room(STREAMS, 0.0) == 0
