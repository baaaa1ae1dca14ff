"""HTTPS by uvicorn, on a socket and a TLS context made before root was given up."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp

from tripost_admin_api.access.places import Places
from tripost_admin_api.adapters.http_connection import HttpConnection, Refusals
from tripost_shared.server_tls import server_context

log = structlog.get_logger()

HANDSHAKE_WITHIN_SECONDS: Final = 10.0  # of TLS
IDLE_SECONDS: Final = 30  # between two requests
CLOSE_WITHIN_SECONDS: Final = 5.0  # for the client to end TLS too; one that idles does not read that we do
SHUTDOWN_SECONDS: Final = 3
LARGEST_HEADER_OCTETS: Final = 32 * 1024


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load certificate and key, for HTTP/1.1. Raises SettingsError."""
    context = server_context(certificate, key, "TRIPOST_ADMIN_")
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Server(uvicorn.Server):
    """Signals are the runner's, and TLS has time limits, for which uvicorn has no options."""

    def __init__(self, config: uvicorn.Config, places: Places) -> None:
        super().__init__(config)
        self._places = places
        self._refusals = Refusals()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on sockets that listen already; the application has no lifespan events."""
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                lambda: HttpConnection(self.config, self.server_state, self._places, self._refusals),
                sock=listener,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=HANDSHAKE_WITHIN_SECONDS,
                ssl_shutdown_timeout=CLOSE_WITHIN_SECONDS,
            )
            for listener in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpsServer:
    """Serves one application; make it before root is given up, since it imports what serving needs."""

    def __init__(self, app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext, max_connections: int) -> None:
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=HttpConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            ssl_context_factory=lambda _config, _default: tls,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            h11_max_incomplete_event_size=LARGEST_HEADER_OCTETS,
        )
        config.load()
        self._server = _Server(config, Places(max_connections))
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The TCP port, also when the system chose it."""
        port: int = self._listener.getsockname()[1]
        return port

    async def start(self) -> None:
        """Serve from now on."""
        self._serving = asyncio.create_task(self._server.serve([self._listener]))
        self._serving.add_done_callback(self._say_end)
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the HTTPS server ended as it started")
            await asyncio.sleep(0.01)

    def _say_end(self, serving: asyncio.Task[None]) -> None:
        if not self._server.should_exit:
            error = None if serving.cancelled() else serving.exception()
            log.critical("the HTTPS server has ended: restart admin-api", exc_info=error)

    async def stop(self) -> None:
        """Take no new connections, finish the requests at hand, close."""
        if self._serving is None:
            self._listener.close()
            return
        self._server.should_exit = True
        await asyncio.wait({self._serving}, timeout=SHUTDOWN_SECONDS + 2)
