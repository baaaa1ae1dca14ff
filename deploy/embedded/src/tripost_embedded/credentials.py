"""What the cluster keeps secret: a NATS password for each service, made once."""

import secrets
from pathlib import Path

from tripost_embedded.home import Home
from tripost_shared.files import write_private


def nats_passwords(home: Home, services: tuple[str, ...]) -> dict[str, str]:
    """Read each service's NATS password, and make those that are missing (256 bits, in files of mode 0600)."""
    return {service: _read_or_make(home.password_file(service)) for service in services}


def _read_or_make(path: Path) -> str:
    if path.exists():
        kept = path.read_text().strip()
        if kept:
            return kept
    made = secrets.token_urlsafe(32)
    write_private(path, made + "\n")
    return made
