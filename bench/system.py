"""What is measured, as the rounds see it: a mail system that runs, with a port to send to."""

import contextlib
import os
import platform
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

ROOT: Final = Path(__file__).resolve().parent.parent  # of the repository
_given_ports: Final = set[int]()
Contender = TypeVar("Contender")


class BenchError(Exception):
    """The measurement cannot be made; the message says why, to a person."""


class System(Protocol):
    """A mail system under load."""

    name: str

    @property
    def port(self) -> int:
        """Where it takes mail, on 127.0.0.1."""
        ...

    @property
    def new_mail(self) -> Path:
        """The folder `new` of the mailbox's Maildir."""
        ...

    def processes(self) -> Mapping[str, Sequence[int]]:
        """Its groups of processes: a name, and the ids of the topmost ones."""
        ...

    def examinations(self) -> Mapping[str, int]:
        """How often each check that must look at every message has examined so far; empty when there are none."""
        ...

    def check_arrived(self, stored: bytes) -> str:
        """Say what is wrong with a message as it was stored, apart from the content that was sent; "" if nothing is."""
        ...

    def stop(self) -> None:
        """End all its processes."""
        ...


def turns(systems: Sequence[Contender], rounds: int) -> Iterator[tuple[int, Contender]]:
    """Give each system its turn in every round, so that what else the machine does meets all alike."""
    for number in range(1, rounds + 1):
        for system in systems:
            yield number, system


def machine(*facts: str) -> str:
    """Say in a sentence what all this is measured on, other facts of the measurement included."""
    versions = (f"{os.cpu_count()} cores", f"Python {platform.python_version()}", f"Linux {platform.release()}", *facts)
    return f"{', '.join(versions)}; load average before: {os.getloadavg()[0]:.1f}."


def free_port() -> int:
    """Find a TCP port on 127.0.0.1 that nobody uses now, and that was not given before."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def wait_until(condition: Callable[[], bool], what: str, within_seconds: float) -> None:
    """Look every 20 ms; raises BenchError at the deadline."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"gave up after {within_seconds:.0f} s: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
