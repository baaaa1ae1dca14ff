"""The message that is sent, and the DNS records that make it good.

The sender's domain permits 127.0.0.1 (SPF) and has signed the message (DKIM, RSA with 2048 bits), so that every check
has its whole work to do and finds nothing wrong.
"""

import base64
from dataclasses import dataclass
from typing import Final

import dkim  # type: ignore[import-untyped]  # the library has no types
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.content import CLIENT_NAME, compose

BLOCK_LISTS: Final = ("first.dnsbl.example", "second.dnsbl.example")
SELECTOR: Final = "bench"
SIZE_OCTETS: Final = 4096


@dataclass(frozen=True)
class SignedMessage:
    """A message with CRLF line ends, and the records that its checks look up: (name, type, text as in a zone file)."""

    content: bytes
    records: tuple[tuple[str, str, str], ...]


def sign_a_message(size_octets: int = SIZE_OCTETS) -> SignedMessage:
    """Make a message of that size, signature included, with a new key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    signature_octets = len(_signature(compose(0), private))
    unsigned = compose(size_octets - signature_octets)
    return SignedMessage(_signature(unsigned, private) + unsigned, _records(base64.b64encode(public).decode()))


def _signature(message: bytes, private_key: bytes) -> bytes:
    signature: bytes = dkim.sign(
        message,
        SELECTOR.encode(),
        b"sender.example",
        private_key,
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=[b"from", b"to", b"subject", b"date", b"message-id"],
    )
    return signature


def _records(public_key: str) -> tuple[tuple[str, str, str], ...]:
    key_record = f"v=DKIM1; k=rsa; p={public_key}"
    in_strings = " ".join(f'"{key_record[start : start + 255]}"' for start in range(0, len(key_record), 255))
    return (
        ("sender.example", "TXT", '"v=spf1 ip4:127.0.0.1 -all"'),
        (CLIENT_NAME, "A", "127.0.0.1"),
        ("1.0.0.127.in-addr.arpa", "PTR", f"{CLIENT_NAME}."),
        (f"{SELECTOR}._domainkey.sender.example", "TXT", in_strings),
    )
