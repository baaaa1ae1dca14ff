"""Sockets for listening, opened before a service gives root up."""

import errno
import socket
from types import MappingProxyType
from typing import Final

from tripost_shared.settings import Listen, SettingsError

BACKLOG: Final = 1024
_IN_WORDS: Final = MappingProxyType(
    {
        errno.EADDRINUSE: "already in use by another process; set another address or port here, or end that process",
        errno.EACCES: "not permitted to this user; ports below 1024 need a start as root, which is given up then, "
        "or the capability CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "no interface of this machine has this address",
    }
)


def bound_socket(listen: Listen, setting: str, *, share: bool = False) -> socket.socket:
    """Open a TCP socket that is bound and refuses clients until it listens. Raises SettingsError, naming the setting.

    It does not block. `share`: others of this user may bind the same address; clients go to one of them
    (SO_REUSEPORT).
    """
    try:
        return _bound(listen, share=share)
    except OSError as error:
        raise _refusal(listen, setting, error) from error


def listening_socket(listen: Listen, setting: str, *, share: bool = False, backlog: int = BACKLOG) -> socket.socket:
    """As `bound_socket`, and it listens: clients wait until they are taken."""
    opened = bound_socket(listen, setting, share=share)
    try:
        opened.listen(backlog)
    except OSError as error:  # another was quicker, between the two
        opened.close()
        raise _refusal(listen, setting, error) from error
    return opened


def _bound(listen: Listen, *, share: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # [::] must leave 0.0.0.0 to its own listener
        opened.setblocking(False)
        opened.bind((listen.host, listen.port))
    except OSError:
        opened.close()
        raise
    return opened


def _refusal(listen: Listen, setting: str, error: OSError) -> SettingsError:
    return SettingsError(f"{setting}: {listen}: {_IN_WORDS.get(error.errno or 0) or error.strerror or error}")
