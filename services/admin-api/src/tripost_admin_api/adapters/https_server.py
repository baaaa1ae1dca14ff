"""HTTPS by uvicorn, on a socket and a TLS context made before root was given up."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from tripost_shared.settings import SettingsError

log = structlog.get_logger()

FIRST_REQUEST_WITHIN_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 30
SHUTDOWN_SECONDS: Final = 3
LARGEST_HEADER_OCTETS: Final = 32 * 1024


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load the certificate; TLS 1.2 and newer. Raises SettingsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_pass_phrase)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise SettingsError(
            f"TRIPOST_ADMIN_CERTIFICATE, TRIPOST_ADMIN_KEY: {certificate} and {key} cannot be used: {error}"
        ) from error
    return context


def _no_pass_phrase() -> str:
    raise ValueError("the key has a pass phrase")  # OpenSSL would ask on the terminal


class _Protocol(H11Protocol):
    """A client that connects and says no whole request header in time is sent away."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._first_request = self.loop.call_later(FIRST_REQUEST_WITHIN_SECONDS, self._end_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._first_request.cancel()
        super().connection_lost(exc)

    def _end_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Signals are the runner's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpsServer:
    """Serves one application; make it before root is given up, since it imports what serving needs."""

    def __init__(self, app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext, max_connections: int) -> None:
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=_Protocol,
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
            limit_concurrency=max_connections,
            h11_max_incomplete_event_size=LARGEST_HEADER_OCTETS,
        )
        config.load()
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The TCP port, also when the system chose it."""
        port: int = self._listener.getsockname()[1]
        return port

    async def start(self) -> None:
        """Serve from now on."""
        self._serving = asyncio.create_task(self._server.serve([self._listener]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the HTTPS server ended as it started")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Take no new connections, finish the requests at hand, close."""
        if self._serving is None:
            self._listener.close()
            return
        self._server.should_exit = True
        await asyncio.wait({self._serving}, timeout=SHUTDOWN_SECONDS + 2)
