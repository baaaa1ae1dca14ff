"""Where the workers of a service, which share its listeners, tell of their health: each at a port of its own. Pure."""

from typing import Final

from tripost_shared.settings import Listen, SettingsError

PORTS_APART: Final = 10  # by default the services have neighbouring ports: 9101, 9102, 9103


def health_of_worker(first: Listen, number: int, setting: str) -> Listen:
    """Give the address of a worker (numbered from 0), ten ports above the one before; port 0 is any port for each.

    Raises SettingsError that names the setting, where there is no such port.
    """
    if first.port == 0:
        return first
    port = first.port + number * PORTS_APART
    if port > 65535:
        raise SettingsError(
            f"{setting}: {first}: the n-th further worker's port is {PORTS_APART}·n higher, and there is no port {port}"
        )
    return Listen(f"{first.rpartition(':')[0]}:{port}")
