"""How each instance answers "who are you, and how do you do?" (`tripost_shared.contracts.nodes`)."""

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version

from tripost_shared.bus.port import Bus
from tripost_shared.clock import Clock, SystemClock
from tripost_shared.contracts.nodes import NODES_SUBJECT, ListenerState, NodeStatus


def instance_name() -> str:
    """Name this process among all of the cluster."""
    return f"{socket.gethostname()}/{os.getpid()}"


def _no_details() -> Mapping[str, str]:
    return {}


def _no_revision() -> int:
    return 0


def _no_troubles() -> Iterable[str]:
    return ()


def _no_listeners() -> Iterable[ListenerState]:
    return ()


async def serve_status(
    bus: Bus,
    service: str,
    is_ready: Callable[[], bool],
    details: Callable[[], Mapping[str, str]] = _no_details,
    config_revision: Callable[[], int] = _no_revision,
    clock: Clock | None = None,
    troubles: Callable[[], Iterable[str]] = _no_troubles,
    *,
    node: str = "",
    listeners: Callable[[], Iterable[ListenerState]] = _no_listeners,
) -> None:
    """Answer for this process from now on, which counts as its start. The functions are called for each answer."""
    started_at = (clock or SystemClock()).now()
    instance = instance_name()
    release = version("tripost-shared")

    def status() -> NodeStatus:
        return NodeStatus(
            service=service,
            instance=instance,
            version=release,
            started_at=started_at,
            ready=is_ready(),
            config_revision=config_revision(),
            details=dict(details()),
            troubles=tuple(troubles()),
            node=node,
            listeners=tuple(listeners()),
        )

    await bus.serve_all(NODES_SUBJECT, status)
