"""Secrets that must be read again, sealed for the database by a key that is not in it (AES-256-GCM)."""

import hmac
import secrets
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tripost_shared.settings import DatabaseSettings, SettingsError

KEY_OCTETS: Final = 32
_FORMAT: Final = b"\x01"
_NONCE_OCTETS: Final = 12  # random: good for 2^32 secrets under one key (NIST SP 800-38D §8.3)


class NotOpened(Exception):
    """It was sealed with another key, for something else, or is damaged."""


class Binding(NamedTuple):
    """What a secret is sealed for. With another password hash beside it, it is of a password that is no longer good."""

    mechanism: str
    address: str  # the mailbox's, as it is compared
    password_hash: str


class LoginKey:
    """The key of a cluster's login secrets. What it is used for has a key of its own each, made from it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_OCTETS:
            raise ValueError(f"a key has {KEY_OCTETS} octets")
        self._aead = AESGCM(hmac.digest(key, b"tripost: seal", "sha256"))
        self._names = hmac.digest(key, b"tripost: names", "sha256")

    @classmethod
    def read(cls, path: Path) -> "LoginKey":
        """Read the key's file: 64 hexadecimal digits. Raises SettingsError."""
        try:
            key = bytes.fromhex(path.read_text("ascii").strip())
            return cls(key)
        except OSError as error:
            raise SettingsError(f"TRIPOST_DATABASE_KEY_FILE: {error.strerror}: {path}") from error
        except ValueError:
            raise SettingsError(
                f"TRIPOST_DATABASE_KEY_FILE: {path} does not hold {2 * KEY_OCTETS} hexadecimal digits, "
                f"as `openssl rand -hex {KEY_OCTETS}` makes them"
            ) from None

    def seal(self, secret: bytes, binding: Binding) -> bytes:
        """Seal a mailbox's secret: it opens for what it is bound to alone."""
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        return _FORMAT + nonce + self._aead.encrypt(nonce, secret, _associated(binding))

    def open(self, sealed: bytes, binding: Binding) -> bytes:
        """Give the secret; raises NotOpened."""
        nonce, rest = sealed[1 : 1 + _NONCE_OCTETS], sealed[1 + _NONCE_OCTETS :]
        if sealed[:1] != _FORMAT or len(nonce) != _NONCE_OCTETS:
            raise NotOpened("in no known form")
        try:
            return self._aead.decrypt(nonce, rest, _associated(binding))
        except InvalidTag:
            raise NotOpened("sealed with another key, for another password, or damaged") from None

    def digest(self, *texts: str) -> bytes:
        """Give 32 octets that only holders of the key can tell from random ones, always the same for these texts."""
        return hmac.digest(self._names, "\0".join(texts).encode("utf-8", "surrogatepass"), "sha256")


def login_key(settings: DatabaseSettings) -> LoginKey | None:
    """Read the key that the settings name; None when they name none. Raises SettingsError."""
    return None if settings.database_key_file is None else LoginKey.read(settings.database_key_file)


def _associated(binding: Binding) -> bytes:
    return "\0".join(binding).encode()
