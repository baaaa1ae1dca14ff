"""CPU a message: the servers take turns at one kind of load after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from bench.edge.client_process import ClientProcess
from bench.edge.orders import Send, Target
from bench.edge.servers import Server
from bench.system import BenchError, turns
from bench.usage import Meter

KIBIBYTE: Final = 1024
SESSIONS_AT_ONCE: Final = 10
SETTLE_WITHIN_SECONDS: Final = 3
QUIET_SECONDS: Final = 0.1
WARM_UP_SHARE: Final = 4  # of a round: a server must have compiled, allocated and cached what it will


@dataclass(frozen=True, order=True)
class Load:
    """One kind of load. `goal_microseconds`: what edge is meant to need for a message at most; None: none is set."""

    tls: bool
    size_octets: int
    messages_per_session: int
    messages: int  # in a round
    goal_microseconds: float | None = None

    def __str__(self) -> str:
        unit = f"{self.size_octets // KIBIBYTE} KB" if self.size_octets < KIBIBYTE**2 else "1 MB"
        way = "STARTTLS" if self.tls else "plain"
        return f"{unit}, {self.messages_per_session} a session, {way}"


@dataclass(frozen=True)
class Cost:
    """What a server used in one round: CPU microseconds a message."""

    server: str
    microseconds: float


# As many messages as take a server in Python some tenths of a second: /proc counts CPU by hundredths.
_WHOLE: Final = ((4 * KIBIBYTE, 2000), (64 * KIBIBYTE, 400), (KIBIBYTE**2, 50))
_QUICK: Final = ((4 * KIBIBYTE, 200), (KIBIBYTE**2, 4))
LONG_SESSION: Final = 100


def loads(*, quick: bool) -> Iterator[Load]:
    """Give all kinds: sizes, one message and many in a session, plain and TLS."""
    for tls, (size_octets, messages) in product((False, True), _QUICK if quick else _WHOLE):
        yield Load(tls, size_octets, 1, messages if not tls else messages // 2, _goal(size_octets, 1, tls=tls))
        many = min(LONG_SESSION, messages // 2)
        yield Load(tls, size_octets, many, messages, _goal(size_octets, many, tls=tls))


def _goal(size_octets: int, messages_per_session: int, *, tls: bool) -> float | None:
    if size_octets == KIBIBYTE**2:
        return 5000.0
    if size_octets != 4 * KIBIBYTE or tls:
        return None
    return 450.0 if messages_per_session == 1 else 150.0


def examine(
    servers: Sequence[Server], clients: ClientProcess, load: Load, rounds: int, *, pipelining: bool
) -> dict[str, list[Cost]]:
    """Let the servers take turns under one load; those that offer no TLS have none of it. Raises BenchError."""
    able = [server for server in servers if server.offers_tls or not load.tls]
    for server in able:
        _send(server, clients, load, max(load.messages // WARM_UP_SHARE, 1), pipelining=pipelining)
    costs: dict[str, list[Cost]] = {server.name: [] for server in able}
    for _, server in turns(able, rounds):
        meter = Meter(server.processes)
        meter.start()
        _send(server, clients, load, load.messages, pipelining=pipelining)
        meter.wait_until_quiet(SETTLE_WITHIN_SECONDS, quiet_seconds=QUIET_SECONDS)
        used = meter.stop().cpu_seconds[server.name]
        costs[server.name].append(Cost(server.name, used / load.messages * 1e6))
    return costs


def _send(server: Server, clients: ClientProcess, load: Load, messages: int, *, pipelining: bool) -> None:
    per_session = min(load.messages_per_session, messages)
    messages -= messages % per_session
    target = Target(server.port, load.tls)
    done = clients.obey(Send(target, load.size_octets, messages, per_session, SESSIONS_AT_ONCE, pipelining))
    if done.count != messages:
        raise BenchError(f"{server.name} took {done.count} of {messages} messages")
