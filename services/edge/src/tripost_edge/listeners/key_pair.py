"""A certificate with its key, held in memory: contexts are made of it long after its files could last be read."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from tripost_edge.listeners.tls import TlsPolicy


class UnusablePair(Exception):
    """The files are no certificate with its key; the message says why, `of_key` that it is about the key alone."""

    def __init__(self, because: str, *, of_key: bool = False) -> None:
        super().__init__(because)
        self.of_key = of_key


class _HasPassPhraseError(Exception):
    """The key is encrypted."""


# What `cryptography` says of certificates that it can take apart, and not understand.
_ODD: Final = (x509.InvalidVersion, x509.UnsupportedGeneralNameType, x509.DuplicateExtension)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`names` are the certificate's DNS names, in lower case; one may begin with `*.`."""

    names: tuple[str, ...]
    ends_at: datetime
    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)
    contexts: dict[TlsPolicy, ssl.SSLContext] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, certificate: Path, key: Path) -> "KeyPair":
        """Read the files; both may be one. Raises UnusablePair."""
        try:
            chain, private = certificate.read_bytes(), key.read_bytes()
            leaf = x509.load_pem_x509_certificate(chain)
            pair = cls(_names(leaf), leaf.not_valid_after_utc, chain, private)
            pair.context(TlsPolicy())
        except _HasPassPhraseError as error:
            raise UnusablePair(f"{key} has a pass phrase; give the key without one", of_key=True) from error
        except (ValueError, OSError, *_ODD) as error:  # ssl.SSLError is an OSError
            raise UnusablePair(f"{certificate} and {key} cannot be used: {_reason(error)}") from error
        return pair

    def context(self, policy: TlsPolicy) -> ssl.SSLContext:
        """Give the context that speaks so and shows this certificate."""
        if policy not in self.contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            policy.apply(context)
            with _as_file(self.chain) as chain, _as_file(self.key) as key:
                context.load_cert_chain(chain, key, password=_no_pass_phrase)
            self.contexts[policy] = context
        return self.contexts[policy]


def _reason(error: Exception) -> object:
    if isinstance(error, ssl.SSLError):
        return error.reason or error
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return f"not to be read: {error}" if isinstance(error, _ODD) else "no certificate in PEM form"


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in alternatives.get_values_for_type(x509.DNSName))


@contextmanager
def _as_file(octets: bytes) -> Iterator[str]:
    """Give a path at which OpenSSL, which reads keys from files only, finds the octets; they reach no disk."""
    descriptor = os.memfd_create("tls")
    try:
        os.write(descriptor, octets)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_pass_phrase() -> str:
    raise _HasPassPhraseError  # without this, OpenSSL asks on the terminal and waits, at a renewal too
