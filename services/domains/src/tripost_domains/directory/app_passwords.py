"""Application passwords: which one was given, and whether it is good here and now. Pure."""

import hmac
from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_address, ip_network

from tripost_domains.directory.model import AppPasswordRecord
from tripost_shared.logins.app_passwords import app_password_digest


def find_app_password(app_passwords: Iterable[AppPasswordRecord], password: str) -> AppPasswordRecord | None:
    """Give the one that this is; None when it is none of them. All are compared, whichever it is."""
    digest = app_password_digest(password)
    return next(iter([one for one in app_passwords if hmac.compare_digest(one.digest, digest)]), None)


def objection(app_password: AppPasswordRecord, client_address: str, kind: str, now: datetime) -> str:
    """Say what is against its use; "" when nothing is."""
    name = f"application password {app_password.name!r}"
    if has_expired(app_password, now):
        return f"{name} has expired"
    if kind not in app_password.scope:
        return f"{name} is not for listeners of the kind {kind}"
    if app_password.networks and not _is_within(client_address, app_password.networks):
        return f"{name} is not for this client's network"
    return ""


def has_expired(app_password: AppPasswordRecord, now: datetime) -> bool:
    """Tell whether its time is over."""
    return app_password.expires_at is not None and app_password.expires_at <= now


def _is_within(client_address: str, networks: Iterable[str]) -> bool:
    try:
        address = ip_address(client_address)
    except ValueError:
        return False
    return any(address in ip_network(network) for network in networks)
