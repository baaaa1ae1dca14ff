"""Signing mail for tests, by any tags, good or bad (RFC 6376)."""

import base64
import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tripost_filter.dkim.body import BodyHasher
from tripost_filter.dkim.canonical import Form
from tripost_filter.dkim.signature import Signature
from tripost_filter.dkim.verification import signed_header
from tripost_filter.mail import Mail
from tripost_shared.mail.client import Client

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


@lru_cache
def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    """Give the same key each time."""
    return generate_private_key(65537, bits)


@lru_cache
def ed25519_key() -> Ed25519PrivateKey:
    """Give the same key each time."""
    return Ed25519PrivateKey.generate()


def key_record(key: PrivateKey, tags: str = "v=DKIM1; ") -> str:
    """Give the TXT record of a key, with any tags before `k=` and `p=`."""
    public = key.public_key()
    if isinstance(public, RSAPublicKey):
        kind, octets = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        kind, octets = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"{tags}k={kind}; p={base64.b64encode(octets).decode()}"


def signed(octets: bytes, key: PrivateKey | None = None, **tags: str | int | None) -> bytes:
    """Put a DKIM-Signature on top; any tag can be replaced, added, or left out by None."""
    key = key or rsa_key()
    forms = str(tags.get("c") or "relaxed/relaxed").split("/")
    header_form, body_form = Form(forms[0]), Form(forms[-1])
    mail = Mail(Client("192.0.2.7"), octets=octets)
    length = tags.get("l")
    part = (body_form, None if length is None else int(length))
    body = BodyHasher([part])
    body.update(mail.body)
    body.finish()
    every: dict[str, str | int | None] = {
        "v": 1,
        "a": "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256",
        "c": "relaxed/relaxed",
        "d": "sender.example",
        "s": "sel",
        "h": "from:to:subject:date",
        "bh": base64.b64encode(body.digest(part)).decode(),
    }
    every |= tags
    text = "; ".join(f"{name}={value}" for name, value in every.items() if value is not None)
    unsigned = f"DKIM-Signature: {text};\r\n b=".encode() + b"\r\n"
    names = tuple(name.strip().lower() for name in str(every["h"] or "").split(":"))
    draft = Signature(unsigned, "", "", "", "", header_form, body_form, names, b"", b"", "", None, None, None)
    value = _sign(key, signed_header(mail, draft))
    return unsigned.removesuffix(b"\r\n") + base64.b64encode(value) + b"\r\n" + octets


def _sign(key: PrivateKey, octets: bytes) -> bytes:
    if isinstance(key, RSAPrivateKey):
        return key.sign(octets, PKCS1v15(), SHA256())
    return key.sign(hashlib.sha256(octets).digest())
