"""TLS of the listeners: what is spoken (RFC 8314 §4.1: 1.2 or later; RFC 9325), apart from who we are."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tripost_shared.contracts.listeners import INTERMEDIATE_CIPHERS, TlsMinimum


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """What a listener speaks. `ciphers`: OpenSSL's names of suites of TLS 1.2; of TLS 1.3 all three are spoken.

    Groups are OpenSSL's own choice, all of them ECDHE: Python can name a single one only.
    """

    minimum: TlsMinimum = TlsMinimum.TLS_1_2
    ciphers: tuple[str, ...] = INTERMEDIATE_CIPHERS

    def apply(self, context: ssl.SSLContext) -> None:
        """Have a context speak this. Raises ssl.SSLError when OpenSSL knows none of the ciphers."""
        is_1_3 = self.minimum is TlsMinimum.TLS_1_3
        context.minimum_version = ssl.TLSVersion.TLSv1_3 if is_1_3 else ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        # All suites are good, so the client chooses: one without AES in hardware takes ChaCha20.
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(":".join(self.ciphers))


class TlsContexts(Protocol):
    """Where listeners have their contexts from."""

    def context(self, policy: TlsPolicy) -> ssl.SSLContext:
        """Give the context for handshakes that begin now."""
        ...


def known_ciphers(names: Sequence[str]) -> tuple[str, ...]:
    """Give those of the names that OpenSSL has here as suites of TLS 1.2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL")
    known = {cipher["name"] for cipher in context.get_ciphers()}
    return tuple(name for name in names if name in known)
