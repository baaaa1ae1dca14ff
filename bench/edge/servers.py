"""The servers that are measured: each one process, on a port of 127.0.0.1, which takes all mail and forgets it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.edge import haraka
from bench.load import tool
from bench.system import ROOT, BenchError, free_port, listens, wait_until
from bench.usage import resident_octets

START_WITHIN_SECONDS: Final = 20
STOP_WITHIN_SECONDS: Final = 10
SESSIONS_LIMIT: Final = 10_000  # of ours, whose default is lower than the crowds that the benchmark brings


@dataclass(frozen=True)
class Plan:
    """How a server is started: its command, what it finds in its environment besides ours, and where."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path = ROOT
    offers_tls: bool = True


@dataclass(frozen=True)
class Surroundings:
    """What a server may use: a folder of its own, a certificate with its key, and where npm has put Haraka."""

    folder: Path
    certificate: Path
    key: Path
    haraka: Path | None


class Server:
    """A server's process."""

    def __init__(self, name: str, port: int, plan: Plan, log: Path) -> None:
        self.name = name
        self.port = port
        self.offers_tls = plan.offers_tls
        self._log = log.open("w+")
        self._process = subprocess.Popen(
            plan.command,
            cwd=plan.folder,
            env=os.environ | plan.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(self._takes_clients, f"{name} takes clients", START_WITHIN_SECONDS)
        except BaseException:  # an interrupt too must leave no server behind
            self.stop()
            raise

    def processes(self) -> Mapping[str, Sequence[int]]:
        """Its process, with the children that it may have."""
        return {self.name: [self._process.pid]}

    def memory_octets(self) -> int:
        """Its memory now (proportional set size)."""
        return resident_octets(self._process.pid)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _takes_clients(self) -> bool:
        if self._process.poll() is not None:
            self._log.seek(0)
            raise BenchError(f"{self.name} ended at its start:\n{''.join(self._log.readlines()[-15:])}")
        return listens(self.port)


def start(name: str, around: Surroundings) -> Server:
    """Start one of SERVERS. Raises BenchError when it does not come up, or is not installed."""
    port = free_port()
    return Server(name, port, SERVERS[name](port, around), around.folder / f"{name}.log")


def why_not(name: str, around: Surroundings) -> str:
    """Say why a server cannot be measured here; "" when it can."""
    try:
        SERVERS[name](0, around)
    except BenchError as error:
        return str(error)
    return ""


def _edge(port: int, around: Surroundings) -> Plan:
    environment = {
        "TRIPOST_HOME": str(around.folder),
        "TRIPOST_HOSTNAME": "tripost.bench.example",
        "TRIPOST_EDGE_MX_LISTEN": f"127.0.0.1:{port}",
        "TRIPOST_EDGE_CERTIFICATE": str(around.certificate),
        "TRIPOST_EDGE_KEY": str(around.key),
        "TRIPOST_EDGE_SESSIONS_LIMIT": str(SESSIONS_LIMIT),
    }
    return Plan([sys.executable, "-m", "bench.edge.null_edge"], environment)


def _stock_aiosmtpd(port: int, around: Surroundings) -> Plan:
    arguments = (str(port), around.certificate, around.key)
    return Plan([sys.executable, "-m", "bench.edge.stock_aiosmtpd", *arguments], {})


def _haraka(port: int, around: Surroundings) -> Plan:
    program = haraka.program(around.haraka)
    folder = haraka.configure(around.folder / "haraka", port, around.certificate, around.key)
    return Plan([program, "-c", folder], {})


def _smtp_sink(port: int, around: Surroundings) -> Plan:
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [tool("smtp-sink"), "-4", *as_user, "-m", "10000", f"inet:127.0.0.1:{port}", "1024"]
    return Plan(command, {}, around.folder, offers_tls=False)


EDGE: Final = "edge"
SERVERS: Final[Mapping[str, Callable[[int, Surroundings], Plan]]] = MappingProxyType(
    {
        EDGE: _edge,
        "aiosmtpd": _stock_aiosmtpd,
        "Haraka": _haraka,
        "smtp-sink": _smtp_sink,
    }
)
