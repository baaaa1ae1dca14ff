"""Passwords: what is accepted as one; hashed and verified in threads, so that nothing else waits."""

import asyncio
import os
import secrets
from typing import Final

from tripost_shared.database.password_hashes import PasswordHashes

SHORTEST: Final = 8  # characters; NIST SP 800-63B §5.1.1.2
LONGEST_OCTETS: Final = 512
# Each costs 19 MiB and about 26 ms of a core; half of the cores is left to mail, however many log in at once.
AT_A_TIME: Final = max(1, min(2, (os.cpu_count() or 1) // 2))

_ONE_TIME_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # what nobody mistakes when copying from a screen


def one_time_password() -> str:
    """Make a password of 99 random bits in groups that can be typed."""
    return "-".join("".join(secrets.choice(_ONE_TIME_ALPHABET) for _ in range(5)) for _ in range(4))


def complaint_about(password: str) -> str:
    """Say what is wrong with a new password; "" when it is good."""
    if len(password) < SHORTEST:
        return f"a password has at least {SHORTEST} characters"
    if len(password.encode("utf-8", "replace")) > LONGEST_OCTETS:
        return f"a password has at most {LONGEST_OCTETS} octets"
    if not password.isprintable():
        return "a password has no control characters"
    return ""


class Passwords:
    """Hashes and verifies, AT_A_TIME; the others wait in the order in which they came.

    The waiting are as many as connections at most, so that a flood of logins delays one by seconds and refuses none.
    """

    def __init__(self, hashes: PasswordHashes | None = None) -> None:
        self._hashes = hashes or PasswordHashes()
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def hash(self, password: str) -> str:
        """Give the encoded hash."""
        async with self._places:
            return await asyncio.to_thread(self._hashes.make, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Tell whether the password is right; None, for an unknown account, takes as long as a wrong one."""
        async with self._places:
            return await asyncio.to_thread(self._hashes.match, password, password_hash)
