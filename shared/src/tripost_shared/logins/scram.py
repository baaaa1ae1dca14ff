"""What a server keeps of a password for SCRAM (RFC 5802 §3, RFC 7677)."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from tripost_shared.contracts.sasl import Mechanism
from tripost_shared.logins.saslprep import NotPreparable, saslprep

ITERATIONS: Final = 15_000  # RFC 7677 §4; a guess at what was stolen must first get past the seal
SALT_OCTETS: Final = 16
HASHES: Final = MappingProxyType({Mechanism.SCRAM_SHA_1: "sha1", Mechanism.SCRAM_SHA_256: "sha256"})


@dataclass(frozen=True, slots=True)
class ScramSecret:
    """Enough to verify a client and to prove oneself to it; not enough to log in elsewhere, unless a login is heard."""

    iterations: int
    salt: bytes
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def to_octets(self) -> bytes:
        """Give the form that is stored."""
        return self.iterations.to_bytes(4, "big") + self.salt + self.stored_key + self.server_key

    @classmethod
    def from_octets(cls, octets: bytes, hash_name: str) -> "ScramSecret":
        """Read the form that is stored; raises ValueError."""
        size = hashlib.new(hash_name).digest_size
        if len(octets) != 4 + SALT_OCTETS + 2 * size:
            raise ValueError(f"no SCRAM secret: {len(octets)} octets")
        keys = octets[4 + SALT_OCTETS :]
        return cls(int.from_bytes(octets[:4], "big"), octets[4 : 4 + SALT_OCTETS], keys[:size], keys[size:])


def derive(password: str, hash_name: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> ScramSecret:
    """Compute what is kept of a password, with a new salt if none is given: milliseconds, so call it in a thread.

    A password that SASLprep forbids is taken as it is: so clients do, and its argon2 hash does as well.
    """
    salt = secrets.token_bytes(SALT_OCTETS) if salt is None else salt
    try:
        prepared = saslprep(password)
    except NotPreparable:
        prepared = password
    salted = hashlib.pbkdf2_hmac(hash_name, prepared.encode("utf-8", "surrogatepass"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    server_key = hmac.digest(salted, b"Server Key", hash_name)
    return ScramSecret(iterations, salt, hashlib.new(hash_name, client_key).digest(), server_key)
