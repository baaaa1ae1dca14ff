"""What the cluster keeps secret, made once: a NATS password for each service, the key of the database's secrets."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from tripost_embedded.home import Home
from tripost_shared.files import write_private
from tripost_shared.logins.sealing import KEY_OCTETS
from tripost_shared.ownership import OTHERS_AT_ALL, fault, user_name
from tripost_shared.settings import SettingsError


def nats_passwords(home: Home, services: tuple[str, ...]) -> dict[str, str]:
    """Read each service's NATS password, and make those that are missing (256 bits, in files of mode 0600).

    Raises SettingsError for one that another user can know.
    """
    return {service: _read_or_make(home.password_file(service), _nats_password) for service in services}


def database_key(home: Home) -> Path:
    """Say where the key of the database's login secrets is, and make it if it is missing. Raises SettingsError."""
    _read_or_make(home.database_key_file, _new_database_key)
    return home.database_key_file


def require_private(path: Path) -> None:
    """Require that a secret, if it is there already, is ours and nobody else's to read or write.

    Raises SettingsError, and OSError where it cannot be looked at.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if said := fault(status, {os.geteuid()}, OTHERS_AT_ALL):
        user = user_name(os.geteuid())
        raise SettingsError(
            f"TRIPOST_HOME: {path} {said}, so others may know what is in it. Remove it, and another is made; "
            f"or, if you know that none does: chown {user}: {path} && chmod 600 {path}"
        )


def _nats_password() -> str:
    return secrets.token_urlsafe(32)


def _new_database_key() -> str:
    return secrets.token_hex(KEY_OCTETS)


def _read_or_make(path: Path, make: Callable[[], str]) -> str:
    require_private(path)
    if path.exists():
        kept = path.read_text().strip()
        if kept:
            return kept
    made = make()
    write_private(path, made + "\n")
    return made
