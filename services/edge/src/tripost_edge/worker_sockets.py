"""The sockets of each worker, all opened by the first process before there are workers."""

import socket
from dataclasses import dataclass
from typing import Final

from tripost_edge.firewall.networks import Networks
from tripost_edge.listeners.context import ListenerProfile
from tripost_edge.listeners.sockets import bind
from tripost_edge.settings import EdgeSettings
from tripost_shared.mail.client import ListenerKind
from tripost_shared.settings import Listen
from tripost_shared.sockets import listening_socket
from tripost_shared.workers import health_of_worker

HEALTH_LISTEN: Final = "TRIPOST_EDGE_HEALTH_LISTEN"


@dataclass(frozen=True, slots=True)
class WorkerSockets:
    """What one worker listens on. `health` is None where that is off."""

    listeners: tuple[tuple[ListenerProfile, socket.socket], ...]
    health: socket.socket | None

    def close(self) -> None:
        """Close all, in this process."""
        for _, bound in self.listeners:
            bound.close()
        if self.health is not None:
            self.health.close()


def open_sockets(settings: EdgeSettings) -> list[WorkerSockets]:
    """Open the sockets of every worker; SMTP clients are refused until theirs listens. Raises SettingsError.

    Several workers share addresses (SO_REUSEPORT), with those of a former first process too, which may still be there
    when a new one starts.
    """
    count = settings.workers
    bound = [
        (profile, bind(listen, variable=variable, copies=count)) for profile, listen, variable in _profiles(settings)
    ]
    return [
        WorkerSockets(
            tuple((profile, copies[number]) for profile, copies in bound),
            _health_socket(settings.health_listen, number, share=count > 1),
        )
        for number in range(count)
    ]


def _health_socket(first: Listen | None, number: int, *, share: bool) -> socket.socket | None:
    if first is None:
        return None
    return listening_socket(health_of_worker(first, number, HEALTH_LISTEN), HEALTH_LISTEN, share=share)


def _profiles(settings: EdgeSettings) -> list[tuple[ListenerProfile, Listen, str]]:
    """Give each listener that is switched on, with its address and the setting that it comes from."""
    wanted = (
        (ListenerProfile("mx", ListenerKind.MX), settings.mx_listen, "MX_LISTEN"),
        (ListenerProfile("submission", ListenerKind.SUBMISSION), settings.submission_listen, "SUBMISSION_LISTEN"),
        (
            ListenerProfile("submissions", ListenerKind.SUBMISSION, implicit_tls=True),
            settings.submissions_listen,
            "SUBMISSIONS_LISTEN",
        ),
        (
            ListenerProfile("proxy", ListenerKind.MX, proxies=Networks(settings.proxy_trusted_networks)),
            settings.proxy_listener,
            "PROXY_LISTENER",
        ),
    )
    return [(profile, listen, f"TRIPOST_EDGE_{variable}") for profile, listen, variable in wanted if listen is not None]
