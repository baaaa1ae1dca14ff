"""Restart and back-off of the embedded cluster's services."""

from datetime import timedelta

import pytest

from tripost_embedded.restart import FIRST_DELAY, LONGEST_DELAY, NEXT_PHASE, Event, Life, Phase, event_of_exit

YOUNG = timedelta(seconds=1)
OLD = timedelta(minutes=5)


def died(life: Life, lived: timedelta) -> Life:
    """Let it run, die after that time, and be started again."""
    return life.after(Event.DIED, lived).after(Event.DUE)


def test_the_first_death_is_answered_quickly() -> None:
    assert Life(Phase.READY).after(Event.DIED, YOUNG).delay == FIRST_DELAY


def test_the_delay_doubles_with_each_death_in_a_row_up_to_the_longest() -> None:
    life = Life()
    delays = []
    for _ in range(12):
        life = died(life, YOUNG)
        delays.append(life.delay)
    assert delays[:4] == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4, FIRST_DELAY * 8]
    assert delays[-1] == LONGEST_DELAY


def test_a_stable_minute_makes_the_next_delay_short_again() -> None:
    life = Life()
    for _ in range(6):
        life = died(life, YOUNG)
    assert life.after(Event.ANSWERED).after(Event.DIED, OLD).delay == FIRST_DELAY


def test_a_service_that_refuses_its_settings_is_not_started_again() -> None:
    life = Life().after(event_of_exit(2, may_refuse=True))
    assert life.phase is Phase.REFUSED
    assert not [event for phase, event in NEXT_PHASE if phase is Phase.REFUSED]


def test_the_same_code_of_a_program_that_means_nothing_by_it_is_a_death() -> None:
    """A panic in Go is exit code 2."""
    assert event_of_exit(2, may_refuse=False) is Event.DIED


def test_that_it_was_ready_is_remembered_over_its_deaths() -> None:
    life = Life()
    assert not died(life, YOUNG).has_been_ready
    assert died(died(life.after(Event.ANSWERED), YOUNG), YOUNG).has_been_ready


def test_one_that_ends_to_begin_anew_is_started_at_once_and_has_not_died() -> None:
    life = Life().after(Event.ANSWERED).after(Event.RENEW).after(Event.DIED, YOUNG)
    assert life == Life(Phase.STARTING, deaths=0, has_been_ready=True)


def test_one_that_ends_to_begin_anew_can_be_stopped_meanwhile() -> None:
    life = Life(Phase.READY).after(Event.RENEW).after(Event.STOP)
    assert life.after(Event.DIED).phase is Phase.STOPPED


def test_a_service_that_waits_for_its_next_start_is_stopped_at_once() -> None:
    assert Life().after(Event.DIED).after(Event.STOP).phase is Phase.STOPPED


@pytest.mark.parametrize("code", [0, 1, 137, -9])
def test_every_other_exit_is_a_death(code: int) -> None:
    assert event_of_exit(code, may_refuse=True) is Event.DIED


@pytest.mark.parametrize("code", [0, 1, 2, -9])
def test_any_exit_ends_a_service_that_is_stopping(code: int) -> None:
    life = Life(Phase.STARTING).after(Event.STOP).after(event_of_exit(code, may_refuse=True))
    assert life.phase is Phase.STOPPED
