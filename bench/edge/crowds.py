"""Many sessions at a time: what they cost in memory, whether each is served, and how a new client fares meanwhile."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

from bench.edge.client_process import ClientProcess
from bench.edge.orders import Drip, Hold, Release, Send, Target, UseHeld, Visit
from bench.edge.servers import Server
from bench.system import BenchError, wait_until
from bench.usage import Meter

MEBIBYTE: Final = 1 << 20
SIZE_OCTETS: Final = 4096
WARM_UP_MESSAGES: Final = 200
SETTLED_WITHIN_SECONDS: Final = 5
DRIP_EVERY_SECONDS: Final = 2.0
IDLE_GOAL_MEBIBYTES: Final = 20.0
LATENCY_GOAL: Final = 2.0


@dataclass(frozen=True)
class Crowd:
    """How many clients come. `visits`: new sessions that are timed in each round."""

    idle: int = 1000
    open: int = 5000
    slow: int = 500
    visits: int = 400


QUICK: Final = Crowd(idle=50, open=100, slow=20, visits=20)


@dataclass(frozen=True)
class Idle:
    """What sessions cost that have said EHLO and are silent: more memory than before they came."""

    server: str
    tls: bool
    sessions: int
    mebibytes: float


@dataclass(frozen=True)
class Served:
    """Sessions that were open at the same time, and then sent a message each."""

    sessions: int
    messages: int
    seconds: float
    cpu_microseconds: float  # a message
    mebibytes: float  # more than before they came, each with its message done


@dataclass(frozen=True)
class Latency:
    """How long a new session took from connect to 221, without and under slow clients: 99 of 100 at most so long."""

    unloaded_ms: float
    loaded_ms: float

    @property
    def ratio(self) -> float:
        """How much longer under load."""
        return self.loaded_ms / self.unloaded_ms


def idle_memory(server: Server, clients: ClientProcess, sessions: int, *, tls: bool) -> Idle:
    """Measure a server that has just been started: what earlier loads have freed would hide what a session needs."""
    target = Target(server.port, tls)
    clients.obey(Send(target, SIZE_OCTETS, WARM_UP_MESSAGES, 10, 10))
    before = _settled_octets(server)
    held = clients.obey(Hold(target, sessions)).count
    after = _settled_octets(server)
    _release(server, clients, held)
    if held != sessions:
        raise BenchError(f"{server.name} let in {held} of {sessions} clients")
    return Idle(server.name, tls, sessions, (after - before) / MEBIBYTE)


def open_sessions(server: Server, clients: ClientProcess, sessions: int) -> Served:
    """Open so many, then have each send a message. Raises BenchError when one of them is not served."""
    target = Target(server.port)
    before = _settled_octets(server)
    held = clients.obey(Hold(target, sessions)).count
    meter = Meter(server.processes)
    meter.start()
    began = time.monotonic()
    served = clients.obey(UseHeld(SIZE_OCTETS)).count
    seconds = time.monotonic() - began
    used = meter.stop()
    after = server.memory_octets()
    _release(server, clients, held)
    return Served(held, served, seconds, used.cpu_seconds[server.name] / served * 1e6, (after - before) / MEBIBYTE)


def new_session(
    server: Server, slow_clients: ClientProcess, visitors: ClientProcess, crowd: Crowd, rounds: int
) -> list[Latency]:
    """Time new sessions in turns, without and with slow clients. Raises BenchError when one of either is not served."""
    latencies = []
    target = Target(server.port)
    visitors.obey(Visit(target, crowd.visits // 4 + 1))
    for _ in range(rounds):
        unloaded = _p99(visitors.obey(Visit(target, crowd.visits)).visits_seconds)
        slow = slow_clients.obey(Drip(target, crowd.slow, DRIP_EVERY_SECONDS)).count
        loaded = _p99(visitors.obey(Visit(target, crowd.visits)).visits_seconds)
        _release(server, slow_clients, slow)
        latencies.append(Latency(unloaded * 1000, loaded * 1000))
    return latencies


def median_latency(latencies: Iterable[Latency]) -> Latency:
    """Give the round whose ratio is in the middle."""
    in_order = sorted(latencies, key=lambda latency: latency.ratio)
    return in_order[len(in_order) // 2]


def _p99(seconds: tuple[float, ...]) -> float:
    return quantiles(seconds, n=100, method="inclusive")[98]


def _release(server: Server, clients: ClientProcess, held: int) -> None:
    """Let a crowd go, which must be there still."""
    stayed = clients.obey(Release()).count
    if stayed != held:
        raise BenchError(f"{server.name} cut off {held - stayed} of {held} clients")


def _settled_octets(server: Server) -> int:
    """Give a server's memory once it stays as it is; where it does not, the median of what is seen at last."""
    seen = [server.memory_octets()]

    def has_settled() -> bool:
        seen.append(server.memory_octets())
        return len(seen) > 5 and max(seen[-5:]) - min(seen[-5:]) <= MEBIBYTE // 16

    with suppress(BenchError):
        wait_until(has_settled, f"the memory of {server.name} stays as it is", SETTLED_WITHIN_SECONDS)
    return int(median(seen[-5:]))
