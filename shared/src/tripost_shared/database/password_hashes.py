"""Passwords as the database keeps them: argon2id (RFC 9106) at one cost for all, of their form by RFC 8265."""

import secrets
import unicodedata
from typing import Final

import structlog
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

log = structlog.get_logger()

MEMORY_KIB: Final = 19_456  # 19 MiB, two passes, one lane: OWASP's smallest recommended cost
PASSES: Final = 2


class PasswordHashes:
    """Makes and compares hashes. Every method computes for about 26 ms, without the interpreter: call it in a thread.

    A hash is of the password as `prepared`. Older ones are of the octets that were given, so those are tried as well
    where they differ: for every account, so that the time tells nothing of it.

    `hasher`: another cost, for tests.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1, type=Type.ID)
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))

    def make(self, password: str) -> str:
        """Give the encoded hash, with its parameters and its salt. Raises ValueError for an empty password."""
        if not password:
            raise ValueError("an empty password")  # RFC 8265 §4.2.2
        return self._hasher.hash(_octets(prepared(password)))

    def match(self, password: str, password_hash: str | None) -> bool:
        """Tell whether the password is right; None, for an unknown account, takes as long as a wrong one."""
        spellings = dict.fromkeys((prepared(password), password))
        matches = any(self._verify(password_hash or self._nobodys, spelling) for spelling in spellings)
        return matches and password_hash is not None and bool(password)

    def _verify(self, password_hash: str, spelling: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _octets(spelling))
        except VerificationError:
            return False
        except InvalidHashError:
            log.warning("a password's hash is not argon2")
            return False


def prepared(password: str) -> str:
    """Give the form that equal passwords share (OpaqueString, RFC 8265 §4.2; RFC 4616 §2 for PLAIN).

    Each space beyond ASCII is U+0020, and what is composed of several characters is one (NFC): programs and keyboards
    differ in both. Characters that the profile disallows stay, since they were taken before.
    """
    if password.isascii():
        return password
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    return unicodedata.normalize("NFC", spaced)


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
