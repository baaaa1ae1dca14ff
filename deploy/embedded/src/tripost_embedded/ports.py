"""The listeners of a cluster, and whether their ports are free before anything starts."""

import errno
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tripost_shared.settings import Listen, SettingsError
from tripost_shared.workers import health_of_worker


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that a service listens on: `variable` sets it, `default` holds when unset ("": then it is off)."""

    service: str
    purpose: str
    variable: str
    default: str

    def address(self, environment: Mapping[str, str]) -> Listen | None:
        """Give the address; None when it is off. Raises SettingsError."""
        text = environment.get(self.variable, self.default).strip()
        try:
            return Listen.parse(text) if text else None
        except ValueError as error:
            raise SettingsError(f"{self.variable}: {error}") from error


MX: Final = Listener("edge", "mail from other servers (SMTP, STARTTLS)", "TRIPOST_EDGE_MX_LISTEN", "127.0.0.1:2525")
PROXY: Final = Listener("edge", "mail behind a proxy (PROXY protocol)", "TRIPOST_EDGE_PROXY_LISTENER", "")
SUBMISSION: Final = Listener(
    "edge", "submission (STARTTLS, then AUTH)", "TRIPOST_EDGE_SUBMISSION_LISTEN", "127.0.0.1:2587"
)
SUBMISSIONS: Final = Listener("edge", "submission (TLS, AUTH)", "TRIPOST_EDGE_SUBMISSIONS_LISTEN", "127.0.0.1:2465")
ADMIN: Final = Listener("admin-api", "administration (HTTPS)", "TRIPOST_ADMIN_LISTEN", "127.0.0.1:8443")
EDGE_HEALTH: Final = Listener("edge", "health and metrics of edge", "TRIPOST_EDGE_HEALTH_LISTEN", "127.0.0.1:9101")
FILTER_HEALTH: Final = Listener(
    "filter", "health and metrics of filter", "TRIPOST_FILTER_HEALTH_LISTEN", "127.0.0.1:9102"
)
DOMAINS_HEALTH: Final = Listener(
    "domains", "health and metrics of domains", "TRIPOST_DOMAINS_HEALTH_LISTEN", "127.0.0.1:9103"
)

FOR_CLIENTS: Final = (MX, PROXY, SUBMISSION, SUBMISSIONS, ADMIN)
FOR_HEALTH: Final = (EDGE_HEALTH, FILTER_HEALTH, DOMAINS_HEALTH)
NATS: Final = Listener("nats-server", "NATS", "TRIPOST_CLUSTER_NATS_PORT", "127.0.0.1:4222")
MOST_WORKERS: Final = 256

Place = tuple[Listener, Listen]


def places(listeners: Sequence[Listener], environment: Mapping[str, str]) -> list[Place]:
    """Pair the listeners that are on with their addresses. Raises SettingsError."""
    pairs = [(listener, listener.address(environment)) for listener in listeners]
    return [(listener, address) for listener, address in pairs if address is not None]


def health_of_further_workers(environment: Mapping[str, str]) -> list[Place]:
    """List where edge's further workers tell of their health. Raises SettingsError."""
    first = EDGE_HEALTH.address(environment)
    if first is None:
        return []
    workers = _further_workers(environment)
    return [(EDGE_HEALTH, health_of_worker(first, number, EDGE_HEALTH.variable)) for number in workers]


def _further_workers(environment: Mapping[str, str]) -> range:
    text = environment.get("TRIPOST_EDGE_WORKERS", "1")
    count = int(text) if text.isascii() and text.isdecimal() else 1
    return range(1, count if count <= MOST_WORKERS else 1)  # edge itself says what is wrong with another value


def check_free(wanted: Sequence[Place]) -> None:
    """Try to bind each address once; raises SettingsError that names all which cannot be used, and their settings."""
    troubles: list[str] = []
    taken: dict[Listen, Listener] = {}
    for listener, address in wanted:
        if address.port == 0:
            continue
        if address in taken:
            troubles.append(f"{listener.variable} and {taken[address].variable} both say {address}")
            continue
        taken[address] = listener
        reason = _why_not(address)
        if reason:
            troubles.append(
                f"port {address.port} on {address.host} {reason}; it is for {listener.purpose}: "
                f"set {listener.variable} to another one"
            )
    if troubles:
        raise SettingsError("\n".join(troubles))


def _why_not(address: Listen) -> str:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the services: TIME_WAIT does not matter
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address.host, address.port))
            probe.listen(1)
    except OSError as error:
        words = {errno.EADDRINUSE: "is in use", errno.EACCES: "may be opened by root only"}
        return words.get(error.errno or 0, f"cannot be used ({error.strerror})")
    return ""
