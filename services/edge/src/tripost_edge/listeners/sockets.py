"""Sockets that the first process has bound, as root and before it forks: each worker's own set of them."""

import socket
from collections.abc import Iterable
from typing import Final

from tripost_shared.settings import Listen
from tripost_shared.sockets import bound_socket

BACKLOG: Final = 1024


def bind(listen: Listen, *, variable: str, copies: int = 1) -> list[socket.socket]:
    """Bind the address `copies` times (SO_REUSEPORT, a socket per worker). Raises SettingsError naming `variable`.

    With port 0 the system chooses one, the same for all copies.
    """
    first = bound_socket(listen, variable, share=copies > 1)
    chosen = Listen(f"{listen.rpartition(':')[0]}:{first.getsockname()[1]}")
    return [first, *(bound_socket(chosen, variable, share=True) for _ in range(copies - 1))]


class BoundBefore:
    """Bound sockets that are lent to listeners; each is for the listener and the address that a setting names.

    They are never closed while the worker lives: the first process has a copy of each, which would go on to listen, and
    clients would wait for nobody. One that is not in use refuses its clients instead.
    """

    def __init__(self, sockets: Iterable[tuple[str, Listen, socket.socket]] = ()) -> None:
        self._all = tuple(sockets)
        self._lent: set[socket.socket] = set()

    def take(self, name: str, address: Listen) -> socket.socket | None:
        """Lend the one for this address, whichever listener's it was; None where there is none, or it is lent."""
        free = [each for each in self._all if each[1] == address and each[2] not in self._lent]
        free.sort(key=lambda each: each[0] != name)  # with port 0, several have one address
        if not free:
            return None
        bound = free[0][2]
        self._lent.add(bound)
        return bound

    def give_back(self, bound: socket.socket) -> None:
        """Let its clients be refused, and keep it if it is ours."""
        if bound in self._lent:
            self._lent.remove(bound)
            _refuse_clients(bound)
        else:
            bound.close()

    def refuse_clients(self) -> None:
        """Let the clients of all be refused that are not lent: a former worker may have listened there."""
        for _, _, bound in self._all:
            if bound not in self._lent:
                _refuse_clients(bound)

    def close(self) -> None:
        """Close all, in this process."""
        for _, _, bound in self._all:
            bound.close()


def _refuse_clients(bound: socket.socket) -> None:
    """End listening, for all processes that have the socket; it stays bound, and may listen again.

    One that does not listen would keep the mark of the shutdown, and so would its clients once it listens again.
    """
    if bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        bound.shutdown(socket.SHUT_RDWR)
