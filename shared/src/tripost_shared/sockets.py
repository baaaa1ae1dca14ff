"""Listening sockets, opened before a service gives root up."""

import socket
from typing import Final

from tripost_shared.settings import Listen, SettingsError

BACKLOG: Final = 1024


def listening_socket(listen: Listen, setting: str) -> socket.socket:
    """Open a TCP socket that listens, not blocking. Raises SettingsError, naming the setting that changes it."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # [::] must leave 0.0.0.0 to its own listener
        opened.bind((listen.host, listen.port))
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise SettingsError(f"{setting}: cannot listen on {listen}: {error.strerror}") from error
    return opened
