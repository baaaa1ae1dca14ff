"""What the cluster runs: nats-server and the four services, each with its command, environment and health end point."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tripost_embedded import ports
from tripost_embedded.code import Code
from tripost_embedded.credentials import database_key, nats_passwords, require_private
from tripost_embedded.environment import WITH_DATABASE, service_environment
from tripost_embedded.home import Home
from tripost_embedded.nats_config import nats_config
from tripost_embedded.ports import Listener, Place
from tripost_embedded.process import Program
from tripost_embedded.readiness import http_probe, http_sign, nats_probe
from tripost_embedded.supervisor import ServicePlan
from tripost_shared.bus.permissions import SERVICES, permissions
from tripost_shared.certificates import ensure_self_signed, local_names
from tripost_shared.endings import KILL_AFTER
from tripost_shared.files import write_private
from tripost_shared.privileges import RunUser
from tripost_shared.settings import Listen, SettingsError

NATS: Final = "nats-server"
NATS_KILL_AFTER: Final = timedelta(seconds=10)  # it has nobody to wait for when it is told to stop, as the last one
# Edge asks filter and domains until its last session has ended, and all that a service says in its end goes to NATS.
EDGE_STOPS, OTHERS_STOP, NATS_STOPS = range(3)
# Go's scheduler looks every 20 µs (70 with the usual slack) for threads that hang in an fsync, and one always does.
NATS_TIMER_SLACK: Final = timedelta(milliseconds=5)

ALIVE: Final = "/healthz"
_DATABASE_KEY: Final = "TRIPOST_DATABASE_KEY_FILE"
_HEALTH: Final = MappingProxyType(
    {
        "edge": (ports.EDGE_HEALTH, "/readyz"),
        "filter": (ports.FILTER_HEALTH, "/readyz"),
        "domains": (ports.DOMAINS_HEALTH, "/readyz"),
        "admin-api": (ports.ADMIN, ALIVE),
    }
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """All that the plans are made from.

    `nats_port` is None when the operator names a NATS of his own. `nats_binary` is a descriptor of nats-server's
    program, where its user cannot reach the file by name. `operators` is the environment that we were started with; it
    may hold secrets.
    """

    home: Home
    code: Code
    user: RunUser | None
    nats_port: int | None
    nats_binary: int | None
    hostname: str
    operators: Mapping[str, str] = field(repr=False)

    def places(self) -> list[Place]:
        """List every listener that is on, with its address. Raises SettingsError."""
        own = [] if self.nats_port is None else [(ports.NATS, Listen(f"127.0.0.1:{self.nats_port}"))]
        services = ports.places([*ports.FOR_CLIENTS, *ports.FOR_HEALTH], self.operators)
        return [*services, *ports.health_of_further_workers(self.operators), *own]


def make_plans(cluster: Cluster) -> list[ServicePlan]:
    """Write what the services need, and plan them. Raises SettingsError and OSError."""
    _make_certificates(cluster)
    ours = {
        "TRIPOST_HOME": str(cluster.home.path),
        "TRIPOST_HOSTNAME": cluster.hostname,  # the same for all, also where it was not set
        "TRIPOST_LOG_FORMAT": "json",
    }
    if cluster.user is not None:
        ours["HOME"] = str(cluster.home.path)  # root's own is closed to the run user, and libraries look there
    if cluster.nats_port is None:
        return [_service_plan(cluster, name, ours) for name in SERVICES]
    passwords = nats_passwords(cluster.home, SERVICES)
    ours["TRIPOST_NATS_URL"] = f"nats://127.0.0.1:{cluster.nats_port}"
    plans = [_service_plan(cluster, name, ours | _nats_login(cluster.home, name)) for name in SERVICES]
    return [*plans, _nats_plan(cluster, cluster.nats_port, passwords)]


def _make_certificates(cluster: Cluster) -> None:
    """Make the certificates that edge and admin-api use when the operator names none, so that all TLS works at once.

    A key that another user can know is refused by SettingsError.
    """
    names = tuple(dict.fromkeys((*local_names(), cluster.hostname)))
    for service, variable in (("edge", "TRIPOST_EDGE_CERTIFICATE"), ("admin", "TRIPOST_ADMIN_CERTIFICATE")):
        if not cluster.operators.get(variable):
            folder = cluster.home.path / "tls"
            require_private(folder / f"{service}.key")
            ensure_self_signed(folder / f"{service}.crt", folder / f"{service}.key", names)


def _database_key(cluster: Cluster, service: str) -> dict[str, str]:
    """Give the services that have the database its key: ours, if the operator names none."""
    if service not in WITH_DATABASE or cluster.operators.get(_DATABASE_KEY):
        return {}
    return {_DATABASE_KEY: str(database_key(cluster.home))}


def _nats_login(home: Home, service: str) -> dict[str, str]:
    return {"TRIPOST_NATS_USER": service, "TRIPOST_NATS_PASSWORD_FILE": str(home.password_file(service))}


def _service_plan(cluster: Cluster, name: str, ours: Mapping[str, str]) -> ServicePlan:
    listener, path_when_ready = _HEALTH[name]
    health = _health_address(name, listener, cluster.operators)
    tls = listener is ports.ADMIN
    return ServicePlan(
        name,
        Program(
            cluster.code.command(f"tripost-{name}"),
            service_environment(name, cluster.operators, {**ours, **_database_key(cluster, name)}),
        ),
        http_probe(health, path_when_ready, tls=tls),
        http_sign(health, ALIVE, tls=tls),
        KILL_AFTER,
        cluster.home.pid_file(name),
        tells_wrong_setting=True,
        stop_turn=EDGE_STOPS if name == "edge" else OTHERS_STOP,
    )


def _health_address(name: str, listener: Listener, operators: Mapping[str, str]) -> Listen:
    address = listener.address(operators)
    if address is None or address.port == 0:
        raise SettingsError(f"{listener.variable}: the embedded cluster needs an address with a port, to see {name}")
    return address


def _nats_plan(cluster: Cluster, port: int, passwords: Mapping[str, str]) -> ServicePlan:
    binary = cluster.nats_binary
    config = cluster.home.path / "nats" / "nats.conf"
    store = cluster.home.path / "nats" / "jetstream"
    write_private(config, nats_config(port, store, passwords, permissions()))
    program = Program(
        [NATS, "-c", str(config)],
        {"PATH": os.defpath, "HOME": str(cluster.home.path)},
        executable=str(nats_program()) if binary is None else f"/proc/self/fd/{binary}",
        descriptors=() if binary is None else (binary,),
        drops_to=cluster.user,
        timer_slack=NATS_TIMER_SLACK,
    )
    probe = nats_probe(Listen(f"127.0.0.1:{port}"))
    return ServicePlan(
        NATS,
        program,
        probe,
        probe,
        NATS_KILL_AFTER,
        cluster.home.pid_file(NATS),
        tells_wrong_setting=False,
        stop_turn=NATS_STOPS,
    )


def nats_program() -> Path:
    """Name nats-server's program, which its wheel puts beside this interpreter."""
    return Path(sys.prefix) / "bin" / NATS
