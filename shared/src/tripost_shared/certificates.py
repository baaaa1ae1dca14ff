"""Certificates that we make ourselves, so that everything speaks TLS from the first start (RFC 5280)."""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tripost_shared.files import put_in_place
from tripost_shared.hostname import machine_name

VALID_FOR: Final = timedelta(days=825)  # what the strictest clients still take from a certificate outside a public CA
RENEW_BEFORE: Final = timedelta(days=30)
BACKDATED_BY: Final = timedelta(hours=1)  # a client's clock may be behind ours
MAX_COMMON_NAME: Final = 64  # RFC 5280, ub-common-name


def local_names() -> tuple[str, ...]:
    """Give the names by which this machine reaches itself: localhost, both loopback addresses, its host name."""
    names = dict.fromkeys(("localhost", "127.0.0.1", "::1", socket.gethostname().lower(), machine_name().lower()))
    return tuple(name for name in names if name and name.isascii())


def ensure_self_signed(path_cert: Path, path_key: Path, names: Sequence[str]) -> bool:
    """Make the pair if it is missing, cannot be read, or ends within 30 days; tells whether it was made.

    Only for files that are ours to replace. Raises OSError.
    """
    if path_key.is_file() and _ends_at(path_cert) > datetime.now(UTC) + RENEW_BEFORE:
        return False
    make_self_signed(path_cert, path_key, names)
    return True


def make_self_signed(path_cert: Path, path_key: Path, names: Sequence[str]) -> None:
    """Write a self-signed server certificate and its key (EC P-256), both PEM, for DNS names and addresses.

    Folders that are missing are made with mode 0700. The key has mode 0600 from its first octet on. The key is in
    place before the certificate, so whoever finds a certificate finds its key. What root makes belongs to the owner
    of the folder that it lies in. Raises OSError.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    put_in_place(
        path_key,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        mode=0o600,
    )
    put_in_place(path_cert, _certificate(key, names).public_bytes(serialization.Encoding.PEM), mode=0o644)


def _ends_at(path_cert: Path) -> datetime:
    try:
        return x509.load_pem_x509_certificate(path_cert.read_bytes()).not_valid_after_utc
    except (FileNotFoundError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


def _certificate(key: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tripost, self-signed"),
            x509.NameAttribute(NameOID.COMMON_NAME, names[0][:MAX_COMMON_NAME]),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    own_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED_BY)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, dict.fromkeys(names)))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(own_key, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_key), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
