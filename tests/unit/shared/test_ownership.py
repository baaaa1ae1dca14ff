"""Whose a file is, and what others may do to it."""

import os

import pytest

from tripost_shared.ownership import OTHERS_AT_ALL, OTHERS_WRITE, fault, user_name

UNKNOWN = 3_999_999_999


def status(owner: int, mode: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("owner", "mode", "forbidden", "said"),
    [
        pytest.param(7, 0o100600, OTHERS_AT_ALL, "", id="one's own, closed"),
        pytest.param(0, 0o100644, OTHERS_WRITE, "", id="of another trusted user, to be read by all"),
        pytest.param(UNKNOWN, 0o100600, 0, f"belongs to user {UNKNOWN}", id="a stranger's"),
        pytest.param(7, 0o040770, OTHERS_WRITE, "is writable by others than its owner", id="a group writes"),
        pytest.param(7, 0o040702, OTHERS_WRITE, "is writable by others than its owner", id="all write"),
        pytest.param(7, 0o100640, OTHERS_AT_ALL, "is readable by others than its owner", id="a group reads"),
        pytest.param(7, 0o040777, 0, "", id="where the mode does not matter"),
    ],
)
def test_what_speaks_against_a_file(owner: int, mode: int, forbidden: int, said: str) -> None:
    assert fault(status(owner, mode), {0, 7}, forbidden) == said


def test_a_user_is_named() -> None:
    assert user_name(0) == "root"
    assert user_name(UNKNOWN) == str(UNKNOWN)
