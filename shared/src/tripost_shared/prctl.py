"""What a process asks of the kernel about itself (prctl(2)). Linux only; elsewhere nothing happens."""

import ctypes
import os
from datetime import timedelta
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
PR_GET_PDEATHSIG: Final = 2
PR_SET_KEEPCAPS: Final = 8
PR_SET_TIMERSLACK: Final = 29

_function = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)


def parent_death_signal() -> int:
    """Give the signal that this process gets when its parent ends; 0: none. Raises OSError."""
    number = ctypes.c_int(0)
    _call(PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send this process a signal when its parent ends, until its user changes. Raises OSError."""
    _call(PR_SET_PDEATHSIG, ctypes.c_ulong(number))


def set_keep_capabilities(*, wanted: bool) -> None:
    """Let what a process may as root outlast that it becomes another user, as far as it is then permitted.

    Raises OSError.
    """
    _call(PR_SET_KEEPCAPS, ctypes.c_ulong(wanted))


def set_timer_slack(slack: timedelta) -> None:
    """Let the kernel end this process's timed waits up to `slack` late; outlasts exec and goes to children.

    Raises OSError.
    """
    _call(PR_SET_TIMERSLACK, ctypes.c_ulong(slack // timedelta(microseconds=1) * 1000))


def _call(option: int, argument: Any) -> None:
    unused = ctypes.c_ulong(0)
    if _function is not None and _function(ctypes.c_int(option), argument, unused, unused, unused) != 0:
        raise OSError(ctypes.get_errno(), f"prctl, option {option}: {os.strerror(ctypes.get_errno())}")
