"""Application passwords: made by the server, so long that a plain digest protects them in the database."""

import hashlib
import secrets
from typing import Final

_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # what nobody mistakes when copying from a screen
_GROUPS: Final = 6
_GROUP: Final = 4  # 31^24: 118 random bits


def new_app_password() -> str:
    """Make one, in groups that can be typed."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def app_password_digest(password: str) -> str:
    """Give what is stored of it (SHA-256, hexadecimal): there are too many to try."""
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).hexdigest()
