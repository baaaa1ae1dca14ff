"""Who has a place among the connections: one network has a part of them, and whoever idles unknown makes room; pure."""

from typing import Final, Protocol

from tripost_admin_api.access.networks import network_of

LEAST_OF_A_NETWORK: Final = 8  # a browser and a few commands


class Connection(Protocol):
    """A connection to the API."""

    @property
    def gives_way(self) -> bool:
        """Whether another may have its place: it has shown no credentials, and no request of it is under way."""

    def end(self) -> None:
        """End it at once."""


class Places:
    """Places for `most` connections, a quarter of them for one network.

    Where all are taken, the oldest connection that gives way is ended: whoever only holds connections keeps nobody
    out, be it from the same network.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.most_of_a_network = max(LEAST_OF_A_NETWORK, most // 4)
        self._networks: dict[Connection, str] = {}  # of all that have a place; the oldest first

    def take(self, newcomer: Connection, client_address: str) -> str:
        """Give a place; or say in words, with none given, why there is none."""
        network = network_of(client_address)
        of_it = [connection for connection, its in self._networks.items() if its == network]
        if len(of_it) >= self.most_of_a_network:
            full, because = of_it, f"{self.most_of_a_network} connections from your network, as many as one may have"
        elif len(self._networks) >= self.most:
            full, because = list(self._networks), f"{self.most} connections"
        else:
            full, because = [], ""
        if full:
            leaving = next((connection for connection in full if connection.gives_way), None)
            if leaving is None:
                return f"There are {because} (see TRIPOST_ADMIN_MAX_CONNECTIONS); try again soon."
            self.leave(leaving)
            leaving.end()
        self._networks[newcomer] = network
        return ""

    def leave(self, connection: Connection) -> None:
        """Give a place back, if there is one."""
        self._networks.pop(connection, None)
