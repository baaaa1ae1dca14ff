"""Bearer tokens (RFC 6750): 256 random bits, of which only the SHA-256 is kept."""

import secrets
from hashlib import sha256
from typing import Final

PREFIX: Final = "tripost_"  # so that scanners for leaked secrets know it
LONGEST: Final = 200


def new_token() -> str:
    """Make a token."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Give what is stored; a fast hash is enough, since there is nothing to guess in 256 random bits."""
    return sha256(token.encode("utf-8", "replace")).hexdigest()
