"""File descriptors of the process: as many as the system grants, and no more sessions than there are."""

import resource
from typing import Final

import structlog

log = structlog.get_logger()

KEPT_BACK: Final = 64  # for NATS, listeners, health, logs, and clients that are told that there are too many


def room_for_sessions(wanted: int) -> int:
    """Raise the soft limit of descriptors to the hard one; give how many of the wanted sessions have room then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or wanted <= hard - KEPT_BACK:
        return wanted
    room = max(hard - KEPT_BACK, 1)
    log.warning("fewer file descriptors than sessions", descriptors=hard, sessions_wanted=wanted, sessions_taken=room)
    return room
