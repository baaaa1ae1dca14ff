"""However many wait, and however long, the log says what is news."""

import asyncio
from collections import Counter
from collections.abc import MutableMapping
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from tripost_domains.delivery import patience
from tripost_domains.delivery.patience import until_done
from tripost_domains.delivery.waiting_log import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PAUSE_AFTER_END_SECONDS,
    QUIET_SECONDS,
    WaitingLog,
)

HOUR = 3600
TASK = "queue deliveries"


class DiskAway(Exception):
    """A failure that passes."""


def told(lines: list[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    return [(line["log_level"], line["event"]) for line in lines]


def fail_each_second(log: WaitingLog, begin: int, end: int) -> list[MutableMapping[str, Any]]:
    with capture_logs() as lines:
        for second in range(begin, end):
            log.failed(float(second), "away", lasts=second - begin >= 5)
    return lines


def test_pauses_between_lines_double_up_to_a_bound() -> None:
    lines = fail_each_second(WaitingLog(TASK), 0, HOUR)
    assert told(lines)[:2] == [("info", "waiting"), ("warning", "still waiting")]
    since = [line["for_seconds"] for line in lines[1:]]
    pauses = [later - earlier for earlier, later in pairwise(since)]
    assert pauses == [FIRST_PAUSE_SECONDS * 2**n for n in range(1, 6)] + [LONGEST_PAUSE_SECONDS] * 4
    assert {line["log_level"] for line in lines[1:]} == {"warning"}


def test_its_end_is_told_once_where_its_lasting_was() -> None:
    log = WaitingLog(TASK)
    with log.waiting():
        with log.waiting():
            fail_each_second(log, 0, 8)
            with capture_logs() as lines:
                log.done(8.0)
        assert lines == []  # the other one waits
        with capture_logs() as lines:
            log.done(9.0)
    assert told(lines) == [("info", "nothing waits any more")]
    assert lines[0]["after_seconds"] == 9


def test_a_short_wait_has_no_end_worth_telling() -> None:
    log = WaitingLog(TASK)
    with capture_logs() as lines, log.waiting():
        log.failed(0.0, "away", lasts=False)
        log.done(0.2)
    assert told(lines) == [("info", "waiting")]


def test_what_ends_and_begins_again_and_again_is_told_now_and_then() -> None:
    log = WaitingLog(TASK)
    with capture_logs() as lines:
        for begin in range(0, HOUR, 10):
            with log.waiting():
                fail_each_second(log, begin, begin + 7)
                log.done(begin + 7.0)
    assert len(lines) <= 2 * HOUR / PAUSE_AFTER_END_SECONDS


def test_a_trouble_after_a_quiet_time_is_told_at_once() -> None:
    log = WaitingLog(TASK)
    fail_each_second(log, 0, HOUR)
    later = HOUR + int(QUIET_SECONDS)
    assert told(fail_each_second(log, later, later + 8)) == [("info", "waiting"), ("warning", "still waiting")]


async def test_hundreds_who_wait_for_one_thing_are_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the database is busy and slow next hops have their mail put off."""
    monkeypatch.setattr(patience, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(patience, "LONGEST_WAIT_SECONDS", 0.004)
    tries = Counter[int]()

    async def queue(number: int) -> int:
        tries[number] += 1
        if tries[number] < 8:
            raise DiskAway("locked")
        return number

    with capture_logs() as lines:
        waits = [until_done(partial(queue, number), (DiskAway,), TASK) for number in range(300)]
        assert await asyncio.gather(*waits) == list(range(300))
    assert told(lines) == [("info", "waiting"), ("warning", "still waiting"), ("info", "nothing waits any more")]
    assert lines[1]["waiting"] == 300
    assert lines[1]["because"] == "DiskAway: locked"
