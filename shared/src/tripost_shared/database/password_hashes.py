"""Passwords as the database keeps them: argon2id (RFC 9106), one cost for all."""

import secrets
from typing import Final

import structlog
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

log = structlog.get_logger()

MEMORY_KIB: Final = 19_456  # 19 MiB, two passes, one lane: OWASP's smallest recommended cost
PASSES: Final = 2


class PasswordHashes:
    """Makes and compares hashes. Every method computes for about 26 ms, without the interpreter: call it in a thread.

    `hasher`: another cost, for tests.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1, type=Type.ID)
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))

    def make(self, password: str) -> str:
        """Give the encoded hash, with its parameters and its salt."""
        return self._hasher.hash(_octets(password))

    def match(self, password: str, password_hash: str | None) -> bool:
        """Tell whether the password is right; None, for an unknown account, takes as long as a wrong one."""
        try:
            return self._hasher.verify(password_hash or self._nobodys, _octets(password)) and password_hash is not None
        except VerificationError:
            return False
        except InvalidHashError:
            log.warning("a password's hash is not argon2")
            return False


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
