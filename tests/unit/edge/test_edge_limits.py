"""Times, rates, and what is remembered for a while."""

from datetime import timedelta

import pytest

from tripost_edge.limits.pace import Overdue, Pace, Patience
from tripost_edge.limits.short_memory import ShortMemory
from tripost_shared.clock import FrozenClock

PATIENCE = Patience(
    command_seconds=300, content_seconds=180, session_seconds=3600, minimum_rate=200, rate_grace_seconds=30
)


def test_a_command_may_take_five_minutes() -> None:
    pace = Pace(PATIENCE, 0)
    pace.wait_for_command(10)
    assert pace.overdue(309.9) is None
    assert pace.overdue(310) is Overdue.COMMAND


def test_while_the_client_waits_for_us_nothing_is_overdue() -> None:
    pace = Pace(PATIENCE, 0)
    pace.wait_for_command(0)
    pace.stop_waiting()
    assert pace.overdue(100_000) is None


def test_the_session_ends_when_it_next_waits() -> None:
    pace = Pace(PATIENCE, 0)
    pace.wait_for_command(3599)
    assert pace.overdue(3600) is Overdue.SESSION


def test_each_piece_of_content_begins_the_wait_anew() -> None:
    pace = Pace(PATIENCE, 0)
    pace.wait_for_content(0)
    pace.received(1_000_000, 100)
    pace.wait_for_content(100)
    assert pace.overdue(279) is None
    assert pace.overdue(280) is Overdue.CONTENT


@pytest.mark.parametrize(("octets", "result"), [(7_999, Overdue.RATE), (8_000, None)])
def test_the_rate_counts_after_the_grace_period(octets: int, result: Overdue | None) -> None:
    pace = Pace(PATIENCE, 0)
    pace.wait_for_content(0)
    pace.received(octets, 29)
    pace.wait_for_content(29)
    assert pace.overdue(29.9) is None
    assert pace.overdue(40) is result


def test_time_in_which_the_client_waited_does_not_count_against_its_rate() -> None:
    pace = Pace(PATIENCE, 0)
    pace.wait_for_content(0)
    pace.received(6_000, 1)
    pace.wait_for_content(500)  # the content store took that long
    assert pace.overdue(529) is None
    assert pace.overdue(530) is Overdue.RATE


def test_the_next_content_has_a_rate_of_its_own() -> None:
    pace = Pace(PATIENCE, 0)
    pace.wait_for_content(0)
    pace.received(10, 20)
    pace.end_content()
    pace.wait_for_command(25)
    assert pace.overdue(100) is None
    pace.wait_for_content(100)
    assert pace.overdue(129) is None


def test_a_timer_set_for_the_next_check_is_never_late() -> None:
    """Whatever patience begins after the timer was set runs out after it fires."""
    pace = Pace(PATIENCE, 0)
    pace.wait_for_command(0)
    timer = pace.next_check(0)
    pace.wait_for_content(0.1)
    for moment in range(int(timer)):
        assert pace.overdue(moment) is None
    assert pace.next_check(timer) > timer


def test_what_is_remembered_is_forgotten_in_time(clock: FrozenClock) -> None:
    memory: ShortMemory[str, int] = ShortMemory(clock, 30, 10)
    memory.put("a", 1)
    clock.advance(timedelta(seconds=29))
    assert memory.get("a") == 1
    clock.advance(timedelta(seconds=1))
    assert memory.get("a") is None


def test_when_full_it_forgets_what_was_used_longest_ago(clock: FrozenClock) -> None:
    memory: ShortMemory[str, int] = ShortMemory(clock, 30, 2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 3)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (1, None, 3)


def test_an_answer_from_before_a_change_is_not_remembered(clock: FrozenClock) -> None:
    memory: ShortMemory[str, int] = ShortMemory(clock, 30, 2)
    asked_in = memory.generation
    memory.forget()
    memory.put("a", 1, asked_in)
    assert memory.get("a") is None


def test_zero_seconds_remember_nothing(clock: FrozenClock) -> None:
    memory: ShortMemory[str, int] = ShortMemory(clock, 0, 2)
    memory.put("a", 1)
    assert len(memory) == 0
