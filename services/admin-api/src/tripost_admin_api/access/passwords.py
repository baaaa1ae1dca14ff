"""Passwords: argon2id (RFC 9106), computed in threads so that nothing else waits."""

import asyncio
import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 8  # characters; NIST SP 800-63B §5.1.1.2
LONGEST_OCTETS: Final = 512
AT_A_TIME: Final = 2  # each costs 19 MiB and about 26 ms of a core

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
    """Hashes and verifies, a bounded number at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        # OWASP's smallest recommended cost: 19 MiB, two passes
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._places = asyncio.Semaphore(AT_A_TIME)
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))

    async def hash(self, password: str) -> str:
        """Give the encoded argon2id hash."""
        async with self._places:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Tell whether the password is right; None, for an unknown account, takes as long as a wrong one."""
        async with self._places:
            matches = await asyncio.to_thread(self._matches, password, password_hash or self._nobodys)
        return matches and password_hash is not None

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
