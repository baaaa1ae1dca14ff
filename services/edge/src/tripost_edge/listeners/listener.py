"""A listener: one address, what it is for, and the sessions that come of it."""

import asyncio
import socket

from tripost_edge.listeners.context import Context, ListenerProfile, ProfileInForce
from tripost_edge.listeners.implicit_tls import ImplicitTlsServer
from tripost_edge.listeners.smtp_session import SmtpSession
from tripost_edge.listeners.sockets import BACKLOG
from tripost_shared.settings import SettingsError


class Listener:
    """Accepts clients on a bound socket. Who accepts them has a copy of it, and may be replaced by another."""

    def __init__(self, in_force: ProfileInForce, bound: socket.socket, context: Context) -> None:
        self.in_force = in_force
        self._bound = bound
        self._address = bound.getsockname()[:2]
        self._context = context
        self._server: asyncio.Server | ImplicitTlsServer | None = None

    @property
    def profile(self) -> ListenerProfile:
        """What it is for, now."""
        return self.in_force.current

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._address
        return host, port

    @property
    def address_text(self) -> str:
        """Where it listens, as one writes it."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

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

    async def serve_anew(self) -> None:
        """Have clients accepted as the profile now wants it, if they are not. Raises SettingsError."""
        former = self._server
        if isinstance(former, ImplicitTlsServer) is not self.profile.is_tls_first:
            await self.start()
            if former is not None:
                former.close()

    async def _serve(self) -> asyncio.Server | ImplicitTlsServer:
        copy = self._bound.dup()
        try:
            if self.profile.is_tls_first:
                server = ImplicitTlsServer(self.in_force, copy, self._context)
                server.start()
                return server
            loop = asyncio.get_running_loop()
            return await loop.create_server(
                lambda: SmtpSession(loop, self._context, self.in_force), sock=copy, backlog=BACKLOG
            )
        except OSError:
            copy.close()
            raise

    def release(self) -> socket.socket:
        """Take no more clients; sessions go on. Gives the socket back."""
        if self._server is not None:
            self._server.close()
        return self._bound

    def stop(self) -> None:
        """Take no more clients, and close the socket; sessions go on."""
        self.release().close()
