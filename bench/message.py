"""The message that is sent, the names in it, and the DNS records that make it good.

The sender's domain permits 127.0.0.1 (SPF) and has signed the message (DKIM, RSA with 2048 bits), so that every check
has its whole work to do and finds nothing wrong.
"""

import base64
from dataclasses import dataclass
from typing import Final

import dkim  # type: ignore[import-untyped]  # the library has no types
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SENDER: Final = "newsletter@sender.example"
LOCAL_DOMAIN: Final = "dest.example"
MAILBOX: Final = f"ann@{LOCAL_DOMAIN}"
RELAY_DOMAIN: Final = "next.example"
RELAYED: Final = f"bob@{RELAY_DOMAIN}"
CLIENT_NAME: Final = "out.sender.example"
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
    unsigned = _compose(body_octets=0)
    signature_octets = len(_signature(unsigned, private))
    unsigned = _compose(body_octets=size_octets - len(unsigned) - signature_octets)
    return SignedMessage(_signature(unsigned, private) + unsigned, _records(base64.b64encode(public).decode()))


def _compose(body_octets: int) -> bytes:
    header = (
        f"From: Newsletter <{SENDER}>\r\nTo: Ann <{MAILBOX}>\r\nSubject: What is new this week\r\n"
        "Date: Mon, 02 Jun 2025 10:00:00 +0000\r\nMessage-ID: <1@sender.example>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    )
    line = b"All work and no play makes a mail server a dull thing to measure.\r\n"
    body = (line * (body_octets // len(line) + 1))[: max(body_octets - 2, 0)].rstrip()
    return header.encode() + (body.ljust(body_octets - 2, b".") + b"\r\n" if body_octets else b"")


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
