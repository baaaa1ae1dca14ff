"""TLS of the listeners (RFC 8314 §4.1: 1.2 or later; RFC 9325)."""

import ssl
from pathlib import Path

from tripost_shared.settings import SettingsError


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load certificate and key. Raises SettingsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise SettingsError(
            f"TRIPOST_EDGE_CERTIFICATE, TRIPOST_EDGE_KEY: {certificate} and {key} are no certificate with its key "
            f"({error.reason or error})"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"TRIPOST_EDGE_CERTIFICATE, TRIPOST_EDGE_KEY: {error.strerror}: {certificate}, {key}"
        ) from error
    return context
