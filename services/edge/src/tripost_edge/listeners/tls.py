"""TLS of the listeners."""

import ssl
from pathlib import Path

from tripost_shared import server_tls


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load certificate and key. Raises SettingsError."""
    return server_tls.server_context(certificate, key, "TRIPOST_EDGE_")
