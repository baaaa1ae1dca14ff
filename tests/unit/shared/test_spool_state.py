"""What an operator is told of the spool."""

from datetime import timedelta
from typing import Any

import pytest

from tripost_shared.spool.state import STUCK_AFTER, FloorWatch, PartitionState, SpoolState

MINUTE = 60.0


def a_consumer(*, floor: int, delivered: int, attempted: int, waiting: int = 0) -> dict[str, Any]:
    """What CONSUMER.INFO answers, as far as it is read."""
    return {
        "ack_floor": {"stream_seq": floor},
        "delivered": {"stream_seq": delivered},
        "num_ack_pending": attempted,
        "num_pending": waiting,
    }


def test_the_figures_are_the_consumers() -> None:
    state = FloorWatch("SPOOL_2").see(a_consumer(floor=10, delivered=40, attempted=4, waiting=60), 0)
    assert state == PartitionState("SPOOL_2", waiting=60, attempted=4, untrimmed=90, oldest_sequence=11)


HOLDING = a_consumer(floor=10, delivered=40, attempted=1)


def test_a_message_that_keeps_acknowledged_ones_in_the_stream_is_stuck_after_a_while() -> None:
    watch = FloorWatch("SPOOL_0")
    assert watch.see(HOLDING, 100).stuck_for == timedelta(0)
    assert not watch.see(HOLDING, 100 + 4.9 * MINUTE).is_stuck
    state = watch.see(HOLDING, 100 + 7 * MINUTE)
    assert state.is_stuck
    assert state.stuck_for == timedelta(minutes=7)


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(a_consumer(floor=11, delivered=40, attempted=1), id="the oldest was acknowledged"),
        pytest.param(a_consumer(floor=10, delivered=11, attempted=1), id="none after it is acknowledged"),
        pytest.param(a_consumer(floor=10, delivered=10, attempted=0, waiting=30), id="none is taken: nobody reads"),
        pytest.param(a_consumer(floor=2, delivered=2, attempted=0, waiting=38), id="the consumer was made anew"),
    ],
)
def test_whatever_ends_that_begins_the_time_anew(between: dict[str, Any]) -> None:
    watch = FloorWatch("SPOOL_0")
    watch.see(HOLDING, 0)
    assert watch.see(between, 6 * MINUTE).stuck_for == timedelta(0)
    assert not watch.see(HOLDING, 10 * MINUTE).is_stuck


@pytest.mark.parametrize(
    ("state", "text"),
    [
        pytest.param(SpoolState(), "0 bundles wait, 0 attempted", id="nothing is known yet"),
        pytest.param(
            SpoolState((PartitionState("SPOOL_0", 5, 2, 9, 1), PartitionState("SPOOL_1", 7, 1, 8, 1))),
            "12 bundles wait, 3 attempted",
            id="all partitions together",
        ),
        pytest.param(
            SpoolState(
                (
                    PartitionState("SPOOL_0", 0, 1, 1, 1, STUCK_AFTER - timedelta(seconds=1)),
                    PartitionState("SPOOL_2", 0, 1, 900, 7, timedelta(minutes=7, seconds=50)),
                ),
                unreadable=1,
            ),
            "0 bundles wait, 2 attempted; SPOOL_2 not trimmed for 7 min; 1 unreadable",
            id="what an operator should look at",
        ),
        pytest.param(
            SpoolState(neglected_because="SPOOL_0: no answer"),
            "0 bundles wait, 0 attempted; neither watched nor trimmed: SPOOL_0: no answer",
            id="what is told of the streams is old",
        ),
    ],
)
def test_the_state_is_said_in_a_few_words(state: SpoolState, text: str) -> None:
    assert str(state) == text
    assert list(state.troubles) == text.split("; ")[1:]
