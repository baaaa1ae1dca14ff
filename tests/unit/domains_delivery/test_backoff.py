"""When a deferred delivery is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_domains.queue.backoff import BackoffPolicy, delay_after, next_attempt

POLICY = BackoffPolicy()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MIDDLE = 0.5  # of the jitter: none


@pytest.mark.parametrize(
    ("attempts", "minutes"),
    [
        pytest.param(1, 5, id="after the first"),
        pytest.param(2, 10, id="doubles"),
        pytest.param(4, 40, id="doubles again"),
        pytest.param(6, 120, id="reaches the cap"),
        pytest.param(10_000, 120, id="stays at the cap"),
    ],
)
def test_the_delay_doubles_up_to_the_cap(attempts: int, minutes: int) -> None:
    assert delay_after(attempts, POLICY, MIDDLE) == timedelta(minutes=minutes)


@given(st.integers(min_value=1, max_value=100), st.floats(min_value=0, max_value=1))
def test_jitter_stays_within_a_tenth(attempts: int, chance: float) -> None:
    plain = delay_after(attempts, POLICY, MIDDLE)
    assert 0.899 <= delay_after(attempts, POLICY, chance) / plain <= 1.101


def test_the_last_attempt_is_at_the_end_of_the_lifetime() -> None:
    expires_at = NOW + timedelta(minutes=1)
    assert next_attempt(3, NOW, expires_at, POLICY, MIDDLE) == expires_at


def test_after_the_lifetime_there_is_no_attempt() -> None:
    assert next_attempt(3, NOW, NOW, POLICY, MIDDLE) is None


def test_an_attempt_that_was_put_off_comes_again_soon() -> None:
    assert next_attempt(0, NOW, NOW + POLICY.lifetime, POLICY, MIDDLE) == NOW + POLICY.busy
