"""Listening sockets: bound once by the first process, each worker's own set of them."""

import socket

from tripost_shared.settings import Listen
from tripost_shared.sockets import bound_socket

BACKLOG = 1024


def bind(listen: Listen, *, variable: str, copies: int = 1) -> list[socket.socket]:
    """Bind the address `copies` times (SO_REUSEPORT, a socket per worker). Raises SettingsError naming `variable`.

    With port 0 the system chooses one, the same for all copies.
    """
    first = bound_socket(listen, variable, share=copies > 1)
    chosen = Listen(f"{listen.rpartition(':')[0]}:{first.getsockname()[1]}")
    return [first, *(bound_socket(chosen, variable, share=True) for _ in range(copies - 1))]
