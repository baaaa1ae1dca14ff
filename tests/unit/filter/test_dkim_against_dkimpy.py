"""dkimpy is the oracle: both must agree on which signatures are good."""

import base64
import re
from types import SimpleNamespace
from typing import Any

import dkim
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from tripost_filter.checks.dkim import Dkim
from tripost_shared.clock import SystemClock
from unit.filter.mails import CachedTable, a_mail
from unit.filter.signing import ed25519_key, key_record, rsa_key, signed

RSA_PEM = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
ED25519_SECRET = base64.b64encode(ed25519_key().private_bytes_raw())
RECORDS = {
    "r._domainkey.sender.example": key_record(rsa_key()),
    "e._domainkey.sender.example": key_record(ed25519_key()),
}
OURS = Dkim(CachedTable(*(f"{name} TXT {record}" for name, record in RECORDS.items())), SystemClock())

blank = st.sampled_from([b"", b" ", b"  ", b"\t", b" \t "])
fold = st.sampled_from([b"", b" ", b"\r\n ", b" \r\n\t", b"\t\t"])
word = st.text("aB0.@<>;=\u00e9", min_size=1, max_size=8).map(str.encode)
value = st.lists(st.tuples(fold, word), max_size=4).map(lambda parts: b"".join(a + b for a, b in parts))
field = st.builds(
    lambda name, before, text: name + b":" + before + text + b"\r\n",
    st.sampled_from([b"Subject", b"TO", b"x-Odd", b"Date", b"subject"]),
    blank,
    value,
)
line = st.lists(st.one_of(blank, word), max_size=5).map(b"".join)
body = st.lists(line, max_size=6).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
message = st.builds(
    lambda above, below, text: b"".join(above) + b"From: a@sender.example\r\n" + b"".join(below) + b"\r\n" + text,
    st.lists(field, max_size=3),
    st.lists(field, max_size=3),
    body,
)
form = st.sampled_from([b"simple", b"relaxed"])


class _LentByCryptography:
    """What dkimpy asks of PyNaCl for Ed25519, by `cryptography`."""

    class SigningKey:
        def __init__(self, secret: bytes, encoder: object) -> None:
            self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret))

        def sign(self, digest: bytes) -> Any:
            return SimpleNamespace(signature=self._key.sign(digest))

    class VerifyKey:
        def __init__(self, public: bytes, encoder: object) -> None:
            self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public))

        def verify(self, digest: bytes, signature: bytes) -> None:
            self._key.verify(signature, digest)


@pytest.fixture(autouse=True)
def _ed25519_for_dkimpy(monkeypatch: pytest.MonkeyPatch) -> None:
    nacl = SimpleNamespace(
        signing=_LentByCryptography,
        encoding=SimpleNamespace(Base64Encoder=None),
        exceptions=SimpleNamespace(BadSignatureError=InvalidSignature, ValueError=ValueError),
    )
    monkeypatch.setattr(dkim, "nacl", nacl, raising=False)


def theirs_pass(octets: bytes) -> bool:
    """Tell what dkimpy says; it does not take all that RFC 5322 allows, and then says nothing."""

    def txt(name: bytes, timeout: float = 5) -> bytes | None:
        return RECORDS.get(name.decode().rstrip("."), "").encode() or None

    try:
        return bool(dkim.DKIM(octets).verify(dnsfunc=txt))
    except dkim.MessageFormatError:
        reject()
    except dkim.DKIMException:
        return False


def ours_pass(octets: bytes) -> bool:
    finding = OURS.examine_at_once(a_mail(octets=octets))
    return finding is not None and finding.result == "pass"


def dkimpy_signs(octets: bytes, algorithm: str, forms: tuple[bytes, bytes]) -> bytes:
    present = {name.lower() for name in re.findall(rb"(?m)^([A-Za-z\-]+)[ \t]*:", octets.partition(b"\r\n\r\n")[0])}
    signature: bytes = dkim.sign(
        octets,
        algorithm[:1].encode(),
        b"sender.example",
        RSA_PEM if algorithm == "rsa-sha256" else ED25519_SECRET,
        canonicalize=forms,
        include_headers=sorted(present),
        signature_algorithm=algorithm.encode(),
    )
    return signature + octets


@pytest.mark.parametrize("algorithm", ["rsa-sha256", "ed25519-sha256"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=message, forms=st.tuples(form, form), place=st.integers(0, 10_000), patch=st.sampled_from(b" \tX\r"))
def test_both_agree_on_what_dkimpy_signs_and_on_any_change_to_it(
    algorithm: str, octets: bytes, forms: tuple[bytes, bytes], place: int, patch: int
) -> None:
    mail = dkimpy_signs(octets, algorithm, forms)
    assert theirs_pass(mail)
    assert ours_pass(mail)
    if patch == ord("\r"):  # a line more somewhere in the body
        text = mail.replace(b"\r\n\r\n", b"\r\n\r\n\r\n", 1)
    else:
        at = len(mail) - 1 - place % len(octets)
        if mail[at - 1 : at + 1] == b"\r\n" or mail[at : at + 1] == b":":  # dkimpy passes over "From :"
            reject()
        text = mail[:at] + bytes([patch]) + mail[at:]
    assert ours_pass(text) == theirs_pass(text)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=message, forms=st.tuples(form, form), key=st.sampled_from(["r", "e"]))
def test_dkimpy_takes_what_our_canonical_forms_sign(octets: bytes, forms: tuple[bytes, bytes], key: str) -> None:
    mail = signed(
        octets,
        rsa_key() if key == "r" else ed25519_key(),
        s=key,
        c=b"/".join(forms).decode(),
        h="from:from:subject:subject:x-odd:to",
    )
    assert theirs_pass(mail)
    assert ours_pass(mail)
