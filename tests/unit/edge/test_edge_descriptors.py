"""No more sessions than there are file descriptors for."""

import resource

import pytest

from tripost_edge.listeners.descriptors import KEPT_BACK, room_for_sessions


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of the process, soft and hard; what is set comes last."""
    known = [(64, 256)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: known[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, both: known.append(both))
    return known


def test_the_soft_limit_is_raised_to_the_hard_one(limits: list[tuple[int, int]]) -> None:
    assert room_for_sessions(100) == 100
    assert limits[-1] == (256, 256)


def test_below_a_low_limit_fewer_sessions_are_taken(limits: list[tuple[int, int]]) -> None:
    assert room_for_sessions(1000) == 256 - KEPT_BACK


def test_a_process_without_a_limit_takes_what_is_wanted(limits: list[tuple[int, int]]) -> None:
    limits.append((1024, resource.RLIM_INFINITY))
    assert room_for_sessions(100_000) == 100_000
