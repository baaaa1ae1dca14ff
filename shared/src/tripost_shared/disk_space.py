"""Whether a folder's disk has room for mail, and how that is said."""

import os
from pathlib import Path
from typing import Final

# Octets, whatever the disk's size: what is written does not grow with it, and 1 % of a terabyte would be no shortage.
# A few seconds of mail at full speed and a new block of 8 MB in a stream or two fit in, so it is told while the log can
# still be written.
SHORT_BELOW: Final = 32 << 20
ENOUGH_FROM: Final = 48 << 20  # apart from the other, so that a disk that wavers about it is not told again and again
MEGABYTE: Final = 1 << 20


def free_octets(folder: Path) -> int:
    """Tell how much a user who is not root may still write there. Raises OSError."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def is_short(free: int, *, was_short: bool = False) -> bool:
    """Judge `free` octets. Pure."""
    return free < (ENOUGH_FROM if was_short else SHORT_BELOW)


def room_left(folder: Path, free: int) -> str:
    """Say how much room there is. Pure."""
    megabytes = free // MEGABYTE
    return f"the disk of {folder} has {megabytes} MB left" if megabytes else f"the disk of {folder} is full"
