"""A server's certificate and key on disk, as an operator's tool renews them."""

import ssl
from pathlib import Path

import trustme
from cryptography.x509 import load_der_x509_certificate


class CertificateFiles:
    """`certificate` and `key` are the paths; whoever trusts the authority trusts each pair."""

    def __init__(self, certificate: Path, key: Path, authority: trustme.CA, *names: str) -> None:
        self.certificate = certificate
        self.key = key
        self._authority = authority
        self._names = names

    @property
    def paths(self) -> tuple[Path, Path]:
        """Certificate and key."""
        return self.certificate, self.key

    def write(self, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> int:
        """Put a new pair there; gives the certificate's serial number."""
        issued = self._authority.issue_cert(*self._names, key_type=kind)
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        for path, octets in ((self.certificate, chain), (self.key, issued.private_key_pem.bytes())):
            beside = path.with_suffix(".new")
            beside.write_bytes(octets)
            beside.replace(path)
        return serial_number(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))


def serial_number(certificate: bytes | None) -> int:
    """Read it from a certificate in DER, such as a client's `getpeercert(binary_form=True)` gives."""
    assert certificate is not None
    return load_der_x509_certificate(certificate).serial_number
