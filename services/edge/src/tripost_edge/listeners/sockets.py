"""Listening sockets: bound once by the first process, each worker's own set of them."""

import errno
import socket

from tripost_shared.settings import Listen, SettingsError

BACKLOG = 1024


def bind(listen: Listen, *, variable: str, copies: int = 1) -> list[socket.socket]:
    """Bind the address `copies` times (SO_REUSEPORT, a socket per worker). Raises SettingsError naming `variable`.

    With port 0 the system chooses one, the same for all copies.
    """
    sockets: list[socket.socket] = []
    port = listen.port
    try:
        for _ in range(copies):
            sockets.append(_bound(listen.host, port, share=copies > 1))
            port = sockets[0].getsockname()[1]
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise SettingsError(f"{variable}: {listen}: {_in_words(error)}") from error
    return sockets


def _bound(host: str, port: int, *, share: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _in_words(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "already in use by another process; set another address or port here, or end that process"
        case errno.EACCES:
            return "not permitted to this user; ports below 1024 need root (it is given up once bound)"
        case errno.EADDRNOTAVAIL:
            return "no interface of this machine has this address"
    return error.strerror or str(error)
