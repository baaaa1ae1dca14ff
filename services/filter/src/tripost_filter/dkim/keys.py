"""Key records (RFC 6376 §3.6.1; RFC 8463 for Ed25519) and signatures over octets, by `cryptography`."""

import binascii
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tripost_filter.dkim.tags import InvalidTags, colon_separated, parse_tags, without_white_space

MIN_RSA_BITS: Final = 1024  # RFC 8301 §3.2
MAX_RSA_BITS: Final = 4096  # the same: larger ones need not be accepted, and cost a verifier too much
MAX_RECORD_OCTETS: Final = 4096  # RSA with 4096 bits takes 750
MAX_EXPONENT_BITS: Final = 64  # larger ones exist only to cost time

_PADDING: Final = PKCS1v15()
_SHA256: Final = SHA256()


class InvalidKey(ValueError):
    """The record holds no key for this use; the message says why."""


class UnacceptableKey(ValueError):
    """The key is well-formed, but a signature by it must not count (RFC 8301 §3.2)."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A usable key record. `flags`: "y" for a domain that only tries DKIM, "s" for "i= is d= exactly".

    `unacceptable`: why a signature by this key must not count (RFC 8301 §3.2); "" if it may.
    """

    key: RSAPublicKey | Ed25519PublicKey
    flags: frozenset[str]
    unacceptable: str = ""

    @property
    def kind(self) -> str:
        """The key's type as in `k=` and before the hyphen of `a=`."""
        return "rsa" if isinstance(self.key, RSAPublicKey) else "ed25519"

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Whether it is this key's signature over these octets. Raises UnacceptableKey."""
        if self.unacceptable:
            raise UnacceptableKey(self.unacceptable)
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(signature, signed, _PADDING, _SHA256)
            else:
                self.key.verify(signature, hashlib.sha256(signed).digest())  # RFC 8463 §3
        except InvalidSignature:
            return False
        return True


def parse_key(record: str) -> KeyRecord | InvalidKey:
    """Read a TXT record, its strings joined; one that cannot be used is given as its error, to be remembered too."""
    return _remembered(record) if len(record) <= MAX_RECORD_OCTETS else InvalidKey("key record is too long")


@lru_cache(maxsize=4096)
def _remembered(record: str) -> KeyRecord | InvalidKey:
    try:
        return _parse(parse_tags(record))
    except InvalidKey as error:
        return error
    except (InvalidTags, ValueError, UnsupportedAlgorithm) as error:
        return InvalidKey(f"malformed key record: {error}")


def _parse(tags: dict[str, str]) -> KeyRecord:
    if "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"):
        raise InvalidKey("not a DKIM1 record")
    if "p" not in tags:
        raise InvalidKey("no p= in key record")
    if not tags["p"]:
        raise InvalidKey("key is revoked")
    if "sha256" not in colon_separated(tags.get("h", "sha256")):
        raise InvalidKey("key is not for sha256")
    if not {"*", "email"} & set(colon_separated(tags.get("s", "*"))):
        raise InvalidKey("key is not for e-mail")
    octets = binascii.a2b_base64(without_white_space(tags["p"]))
    flags = frozenset(colon_separated(tags.get("t", "")))
    match tags.get("k", "rsa"):
        case "rsa":
            key = load_der_public_key(octets)
            if not isinstance(key, RSAPublicKey):
                raise InvalidKey("key is not what k= says")
            return KeyRecord(key, flags, _weakness(key))
        case "ed25519":
            return KeyRecord(Ed25519PublicKey.from_public_bytes(octets), flags)
        case _:
            raise InvalidKey("unknown key type")


def _weakness(key: RSAPublicKey) -> str:
    if key.key_size < MIN_RSA_BITS:
        return "key is too short"
    if key.key_size > MAX_RSA_BITS or key.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        return "key is too large"
    return ""
