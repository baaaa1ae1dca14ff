"""Passwords: what is accepted as one; hashed and verified in threads, so that nothing else waits."""

import asyncio
import os
import secrets
from collections.abc import Collection
from typing import Final

from tripost_admin_api.access.common_passwords import COMMON_PASSWORDS
from tripost_shared.contracts.sasl import WITH_OWN_SECRET, Mechanism
from tripost_shared.database.password_hashes import PasswordHashes, prepared
from tripost_shared.logins.sealing import LoginKey
from tripost_shared.logins.secrets import sealed_secrets

SHORTEST: Final = 8  # characters; NIST SP 800-63B §5.1.1.2
LONGEST_OCTETS: Final = 512
# Each costs 19 MiB and about 26 ms of a core; half of the cores is left to mail, however many log in at once.
AT_A_TIME: Final = max(1, min(2, (os.cpu_count() or 1) // 2))

_ONE_TIME_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # what nobody mistakes when copying from a screen


def one_time_password() -> str:
    """Make a password of 99 random bits in groups that can be typed."""
    return "-".join("".join(secrets.choice(_ONE_TIME_ALPHABET) for _ in range(5)) for _ in range(4))


def complaint_about(password: str, account: str) -> str:
    """Say what is wrong with a new password of a mailbox's address or an operator's name; "" when it is good.

    As NIST SP 800-63B §5.1.1.2 has it: what is tried first is refused, and no mixture of characters is asked for.
    """
    password = prepared(password)  # the form that counts at a login
    if len(password) < SHORTEST:
        return f"a password has at least {SHORTEST} characters"
    if len(password.encode("utf-8", "replace")) > LONGEST_OCTETS:
        return f"a password has at most {LONGEST_OCTETS} octets"
    if not password.isprintable():
        return "a password has no control characters"
    tried = password.strip().casefold()
    if len(set(tried)) <= 1:
        return "a password is more than one character repeated"
    if tried in {account.casefold(), *account.casefold().rpartition("@")}:
        return "a password is not the name of its account, nor a part of that"
    if tried in COMMON_PASSWORDS:
        return "this is one of the passwords that are tried first; choose another"
    return ""


class Passwords:
    """Hashes and verifies, AT_A_TIME; the others wait in the order in which they came.

    The waiting are as many as connections at most, so that a flood of logins delays one by seconds and refuses none.
    """

    def __init__(self, hashes: PasswordHashes | None = None, key: LoginKey | None = None) -> None:
        self._hashes = hashes or PasswordHashes()
        self._key = key
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def hash(self, password: str) -> str:
        """Give the encoded hash."""
        async with self._places:
            return await asyncio.to_thread(self._hashes.make, password)

    @property
    def makes_secrets(self) -> bool:
        """Whether there is the key that secrets for SCRAM and CRAM-MD5 are sealed by."""
        return self._key is not None

    async def secrets(
        self, password: str, password_hash: str, address: str, mechanisms: Collection[str]
    ) -> dict[Mechanism, bytes]:
        """Make what those of the mechanisms need that do not show the password; nothing without the key."""
        if self._key is None or not set(WITH_OWN_SECRET).intersection(mechanisms):
            return {}
        async with self._places:
            return await asyncio.to_thread(sealed_secrets, self._key, password, password_hash, address, mechanisms)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Tell whether the password is right; None, for an unknown account, takes as long as a wrong one."""
        async with self._places:
            return await asyncio.to_thread(self._hashes.match, password, password_hash)
