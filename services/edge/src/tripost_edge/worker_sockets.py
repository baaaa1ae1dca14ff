"""The sockets of each worker, all opened by the first process before there are workers."""

import socket
from dataclasses import dataclass
from typing import Final

from tripost_edge.listeners.sockets import BoundBefore, bind
from tripost_edge.listeners.wanted import addresses_of_settings
from tripost_edge.settings import EdgeSettings
from tripost_shared.settings import Listen
from tripost_shared.sockets import listening_socket
from tripost_shared.workers import health_of_worker

HEALTH_LISTEN: Final = "TRIPOST_EDGE_HEALTH_LISTEN"


@dataclass(frozen=True, slots=True)
class WorkerSockets:
    """What one worker listens on. `health` is None where that is off."""

    listeners: BoundBefore
    health: socket.socket | None

    def close(self) -> None:
        """Close all, in this process."""
        self.listeners.close()
        if self.health is not None:
            self.health.close()


def open_sockets(settings: EdgeSettings) -> list[WorkerSockets]:
    """Open the sockets of every worker; SMTP clients are refused until theirs listens. Raises SettingsError.

    Several workers share addresses (SO_REUSEPORT), with those of a former first process too, which may still be there
    when a new one starts.
    """
    count = settings.workers
    bound = [
        (name, listen, bind(listen, variable=variable, copies=count))
        for name, (listen, variable) in addresses_of_settings(settings).items()
    ]
    return [
        WorkerSockets(
            BoundBefore((name, listen, copies[number]) for name, listen, copies in bound),
            _health_socket(settings.health_listen, number, share=count > 1),
        )
        for number in range(count)
    ]


def _health_socket(first: Listen | None, number: int, *, share: bool) -> socket.socket | None:
    if first is None:
        return None
    return listening_socket(health_of_worker(first, number, HEALTH_LISTEN), HEALTH_LISTEN, share=share)
