"""A process that gives no sign of life is ended after so many looks in vain; a machine that slept ends nobody."""

from datetime import timedelta

import pytest

from tripost_shared.silence import Patience, Silence

PATIENCE = Patience(timedelta(seconds=5), looks=3)


def ends(looks: list[tuple[float, bool]]) -> list[bool]:
    """Tell of each look, given as seconds since the one before and whether a sign was there, if it ends the process."""
    now = 100.0
    silence = Silence(PATIENCE, now)
    told = []
    for seconds, heard in looks:
        now += seconds
        told.append(silence.is_too_long_after(heard=heard, now=now))
    return told


IN_VAIN, HEARD = (5.0, False), (5.0, True)
WAITED_IN_VAIN = (10.0, False)  # it came in time and waited as long as it may
ASLEEP = (3600.0, False)


@pytest.mark.parametrize(
    ("looks", "ended_at"),
    [
        pytest.param([IN_VAIN] * 3, 2, id="so many in a row are enough"),
        pytest.param([WAITED_IN_VAIN] * 3, 2, id="those that waited for an answer count"),
        pytest.param([HEARD, IN_VAIN, IN_VAIN] * 3, None, id="one sign of life makes the count begin anew"),
        pytest.param([IN_VAIN, IN_VAIN, ASLEEP], None, id="the first look after a sleep tells nothing"),
        pytest.param([IN_VAIN, IN_VAIN, ASLEEP, *[IN_VAIN] * 3], 5, id="after a sleep a whole silence must pass"),
        pytest.param([ASLEEP] * 20, None, id="who looks gets no turn himself"),
    ],
)
def test_a_process_is_ended_after_so_many_looks_in_vain(looks: list[tuple[float, bool]], ended_at: int | None) -> None:
    told = ends(looks)
    assert (told.index(True) if True in told else None) == ended_at


def test_the_whole_silence_is_told() -> None:
    assert PATIENCE.whole == timedelta(seconds=15)
