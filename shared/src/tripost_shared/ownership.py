"""Whether what lies on the disk may be believed: whose it is, and what others may do to it. Pure but for names."""

import os
import pwd
import stat
from collections.abc import Collection
from typing import Final

OTHERS_WRITE: Final = 0o022
OTHERS_AT_ALL: Final = 0o077


def fault(status: os.stat_result, owners: Collection[int], forbidden: int) -> str:
    """Say what speaks against it, to follow its name in a sentence; "" when nothing does.

    It must belong to one of `owners` (user ids), and its mode may have no bit of `forbidden`.
    """
    if status.st_uid not in owners:
        return f"belongs to user {user_name(status.st_uid)}"
    excess = stat.S_IMODE(status.st_mode) & forbidden
    if excess & OTHERS_WRITE:
        return "is writable by others than its owner"
    return "is readable by others than its owner" if excess else ""


def user_name(user_id: int) -> str:
    """Name a user; by the number where this machine knows none."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)
