"""SCRAM's messages and sums, as a server reads and makes them (RFC 5802 §5, §7; RFC 7677). Pure.

Without channel binding: no mechanism with `-PLUS` is offered, so a client may say that it supports it ("y") or does
not ("n"), and one that insists ("p=…") is wrong here.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from typing import Final

from tripost_domains.sasl.malformed import Malformed
from tripost_shared.logins.scram import ScramSecret

MOST_OCTETS: Final = 4096  # of one message
_VALUE: Final = "[^\0=,]|=2C|=3D"
_PRINTABLE: Final = r"[\x21-\x2b\x2d-\x7e]"
_CLIENT_FIRST: Final = re.compile(
    rf"(?P<gs2>(?:n|y),(?:a=(?P<authorization>(?:{_VALUE})+))?,)"
    rf"(?P<bare>n=(?P<username>(?:{_VALUE})+),r=(?P<nonce>{_PRINTABLE}+)(?:,[A-Za-z]=[^\0,]+)*)"
)
_CLIENT_FINAL: Final = re.compile(
    rf"(?P<without_proof>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>{_PRINTABLE}+)(?:,[A-Za-z]=[^\0,]+)*)"
    r",p=(?P<proof>[A-Za-z0-9+/=]+)"
)


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """`gs2` is the header that the client binds the exchange to, `bare` the rest; `authorization` "" for oneself."""

    gs2: str
    bare: str
    username: str
    authorization: str
    nonce: str

    @classmethod
    def parse(cls, octets: bytes) -> "ClientFirst":
        """Read it; raises Malformed. Extensions that we must know (`m=`) are none that we know."""
        match = _CLIENT_FIRST.fullmatch(_text(octets))
        if match is None:
            raise Malformed("no client-first-message without channel binding")
        username, authorization = match["username"], match["authorization"] or ""
        return cls(match["gs2"], match["bare"], _name(username), _name(authorization), match["nonce"])


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """`binding`: the channel binding as the client has it; `without_proof`: what the proof is about."""

    binding: bytes
    nonce: str
    proof: bytes
    without_proof: str

    @classmethod
    def parse(cls, octets: bytes) -> "ClientFinal":
        """Read it; raises Malformed."""
        match = _CLIENT_FINAL.fullmatch(_text(octets))
        if match is None:
            raise Malformed("no client-final-message")
        return cls(_decoded(match["binding"]), match["nonce"], _decoded(match["proof"]), match["without_proof"])


def server_first(nonce: str, secret: ScramSecret) -> bytes:
    """Tell the client how to salt its password."""
    return f"r={nonce},s={b64encode(secret.salt).decode()},i={secret.iterations}".encode()


def nonce_of(server_first_message: bytes) -> str:
    """Read the nonce of what we have said, or of what is claimed to be that; raises Malformed."""
    match = re.match(rf"r=({_PRINTABLE}+),", _text(server_first_message))
    if match is None:
        raise Malformed("no server-first-message")
    return match[1]


def auth_message(first: ClientFirst, server_first_message: bytes, final: ClientFinal) -> bytes:
    """Give what both sides sign."""
    return b",".join((first.bare.encode(), server_first_message, final.without_proof.encode()))


def client_key(secret: ScramSecret, hash_name: str, signed: bytes, proof: bytes) -> bytes:
    """Give the key that the client has made of its password, if that is the stored one; else nothing of use."""
    signature = hmac.digest(secret.stored_key, signed, hash_name)
    return (
        bytes(one ^ other for one, other in zip(proof, signature, strict=True)) if len(proof) == len(signature) else b""
    )


def is_right(secret: ScramSecret, hash_name: str, key: bytes) -> bool:
    """Tell whether the client's key is that of the stored password."""
    return hmac.compare_digest(hashlib.new(hash_name, key).digest(), secret.stored_key)


def server_final(secret: ScramSecret, hash_name: str, signed: bytes) -> bytes:
    """Prove to the client that we know its password."""
    return b"v=" + b64encode(hmac.digest(secret.server_key, signed, hash_name))


def _text(octets: bytes) -> str:
    try:
        if len(octets) <= MOST_OCTETS:
            return octets.decode()
    except UnicodeDecodeError:
        pass
    raise Malformed("no UTF-8, or too long")


def _name(escaped: str) -> str:
    return escaped.replace("=2C", ",").replace("=3D", "=")


def _decoded(text: str) -> bytes:
    try:
        octets = b64decode(text, validate=True)
    except NotBase64:
        octets = b""
    if b64encode(octets).decode() != text:
        raise Malformed("no canonical base64")
    return octets
