"""A listener: one address, what it is for, and the sessions that come of it."""

import asyncio
import socket

from tripost_edge.listeners.context import Context, ListenerProfile, ProfileInForce
from tripost_edge.listeners.implicit_tls import ImplicitTlsServer
from tripost_edge.listeners.smtp_session import SmtpSession
from tripost_edge.listeners.sockets import BACKLOG
from tripost_shared.settings import SettingsError


class Listener:
    """Accepts clients on a bound socket."""

    def __init__(self, profile: ListenerProfile, bound: socket.socket, context: Context) -> None:
        self.in_force = ProfileInForce(profile)
        self._bound = bound
        self._context = context
        self._server: asyncio.Server | ImplicitTlsServer | None = None

    @property
    def profile(self) -> ListenerProfile:
        """What it is for, now."""
        return self.in_force.current

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._bound.getsockname()[:2]
        return host, port

    @property
    def trouble(self) -> str:
        """Why it takes no clients just now; "" when it does, or when asyncio alone knows."""
        return self._server.trouble if isinstance(self._server, ImplicitTlsServer) else ""

    async def start(self) -> None:
        """Take clients from now on; before, they are refused. Raises SettingsError when another was quicker."""
        try:
            self._server = await self._serve()
        except OSError as error:
            raise SettingsError(f"{self.profile.name}: {self.address}: {error.strerror}") from error

    async def _serve(self) -> asyncio.Server | ImplicitTlsServer:
        if self.profile.implicit_tls:
            server = ImplicitTlsServer(self.in_force, self._bound, self._context)
            server.start()
            return server
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: SmtpSession(loop, self._context, self.in_force), sock=self._bound, backlog=BACKLOG
        )

    def stop(self) -> None:
        """Take no more clients; sessions go on."""
        if self._server is not None:
            self._server.close()
