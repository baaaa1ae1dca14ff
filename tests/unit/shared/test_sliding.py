"""What passed within the last window's length, by two counts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_shared.counters.sliding import estimate, seconds_until_below, share_of_previous, window_end

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return MIDNIGHT + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "share"), [pytest.param(0, 1.0, id="boundary"), pytest.param(15, 0.75, id="quarter"), (59, 1 / 60)]
)
def test_the_window_before_counts_with_what_is_still_covered_of_it(seconds: int, share: float) -> None:
    assert share_of_previous(after(seconds), 60) == pytest.approx(share)
    assert estimate(3, 40, after(seconds), 60) == pytest.approx(3 + 40 * share)


def test_a_boundary_does_not_let_twice_the_limit_pass() -> None:
    assert estimate(0, 100, after(0), 60) + 1 > 100


@pytest.mark.parametrize(
    ("limit", "current", "previous", "into", "waits"),
    [
        pytest.param(10, 9, 0, 0, 0, id="one more passes now"),
        pytest.param(10, 10, 0, 20, 46, id="this window fades after its end"),
        pytest.param(10, 0, 10, 0, 6, id="the window before fades"),
        pytest.param(10, 4, 10, 30, 0, id="half of it has faded"),
        pytest.param(1, 1, 0, 0, 120, id="one at a time"),
        pytest.param(0, 0, 0, 0, 120, id="never"),
    ],
)
def test_when_one_more_passes(limit: int, current: int, previous: int, into: int, waits: int) -> None:
    assert seconds_until_below(limit, current, previous, after(into), 60) == waits


@given(
    st.integers(1, 1000),
    st.integers(0, 1200),
    st.integers(0, 1200),
    st.integers(0, 86_399),
    st.sampled_from([60, 3600]),
)
def test_after_that_time_and_no_sooner_one_more_passes(
    limit: int, current: int, previous: int, into: int, window: int
) -> None:
    now = after(into)
    waits = seconds_until_below(limit, current, previous, now, window)

    def passes(seconds: int) -> bool:
        then = now + timedelta(seconds=seconds)
        ended = int(then.timestamp() // window) - int(now.timestamp() // window)
        counts = {0: (current, previous), 1: (0, current)}.get(ended, (0, 0))
        return estimate(*counts, then, window) + 1 <= limit + 1e-6

    assert passes(waits)
    if waits > 1:
        assert not passes(waits - 2)


def test_a_window_ends_at_the_next_boundary() -> None:
    assert window_end(after(61), 60) == after(120).timestamp()
