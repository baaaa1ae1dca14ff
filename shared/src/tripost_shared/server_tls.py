"""TLS of what clients connect to (RFC 8314 §4.1: 1.2 or later; RFC 9325)."""

import ssl
from pathlib import Path

from tripost_shared.settings import SettingsError


class _HasPassPhraseError(Exception):
    """The key is encrypted."""


def server_context(certificate: Path, key: Path, prefix: str) -> ssl.SSLContext:
    """Load certificate and key, whose settings are `prefix` with CERTIFICATE and KEY. Raises SettingsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.load_cert_chain(certificate, key, password=_no_pass_phrase)
    except _HasPassPhraseError as error:
        raise SettingsError(f"{prefix}KEY: {key} has a pass phrase; give the key without one") from error
    except OSError as error:
        reason = (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or error
        raise SettingsError(
            f"{prefix}CERTIFICATE, {prefix}KEY: {certificate} and {key} cannot be used: {reason}"
        ) from error
    return context


def _no_pass_phrase() -> str:
    raise _HasPassPhraseError  # without this, OpenSSL asks on the terminal and waits, at a renewal too
