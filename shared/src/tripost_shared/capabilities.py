"""Capabilities of a process that gives root up (capabilities(7)). Linux only; elsewhere there are none to keep."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tripost_shared.prctl import set_keep_capabilities

CAP_NET_BIND_SERVICE: Final = 10  # linux/capability.h: bind ports below 1024
_VERSION_3: Final = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)
_HAS_THEM: Final = hasattr(_libc, "capset")


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    """32 capabilities; the kernel takes two of these."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def may_keep(capability: int) -> bool:
    """Whether this process has the capability. A container's root may lack it."""
    if not _HAS_THEM:
        return False
    halves = (_Half * 2)()
    _call(_libc.capget, halves)
    half: _Half = halves[capability // 32]
    return bool(half.permitted & 1 << capability % 32)


@contextmanager
def keeping_only(capability: int) -> Iterator[None]:
    """Give root up within: from then on this process, and its children, have this capability and no other.

    A program that it executes has none. To be used while there is one thread: each has its own. Where the process does
    not have the capability itself, it has none afterwards. Raises OSError.
    """
    keeps = may_keep(capability)
    if keeps:
        set_keep_capabilities(wanted=True)
    yield
    if keeps:
        halves = (_Half * 2)()
        halves[capability // 32].permitted = halves[capability // 32].effective = 1 << capability % 32
        _call(_libc.capset, halves)
        set_keep_capabilities(wanted=False)


def _call(function: "ctypes._NamedFuncPointer", halves: "ctypes.Array[_Half]") -> None:
    header = _Header(_VERSION_3, 0)  # 0: this thread
    if function(ctypes.byref(header), halves) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capabilities: {os.strerror(number)}")
