"""What a supervisor asks each process by HTTP: /healthz (it runs), /readyz (it works), /metrics (Prometheus)."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tripost_shared.settings import Listen
from tripost_shared.sockets import listening_socket

REQUEST_SECONDS: Final = 5.0
REQUEST_OCTETS: Final = 8192
MOST_CONNECTIONS: Final = 64
TEXT: Final = "text/plain; charset=utf-8"

Response = tuple[int, str, str, bytes]  # status, reason, content type, body


class HealthServer:
    """A listener for GET and HEAD, one request a connection.

    `at`: an address, or a socket that listens there already. `setting` is named when the address cannot be had.
    """

    def __init__(
        self, at: Listen | socket.socket, is_ready: Callable[[], bool], setting: str = "TRIPOST_…_HEALTH_LISTEN"
    ) -> None:
        self._at = at
        self._is_ready = is_ready
        self._setting = setting
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._connections = 0

    @property
    def port(self) -> int:
        """The port in use; 0 before it is bound."""
        return int(self._socket.getsockname()[1]) if self._socket is not None else 0

    def bind(self) -> None:
        """Open the socket, unless one was given; raises SettingsError."""
        self._socket = self._at if isinstance(self._at, socket.socket) else listening_socket(self._at, self._setting)

    async def start(self) -> None:
        """Answer from now on."""
        if self._socket is None:
            self.bind()
        self._server = await asyncio.start_server(self._serve, sock=self._socket, limit=REQUEST_OCTETS)

    async def stop(self) -> None:
        """Close the socket."""
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                if self._connections <= MOST_CONNECTIONS:
                    async with asyncio.timeout(REQUEST_SECONDS):
                        request = await reader.readuntil(b"\r\n\r\n")
                        writer.write(self._answer(request))
                        await writer.drain()
        finally:
            self._connections -= 1
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        words = request.split(b"\r\n", 1)[0].split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _encoded((400, "Bad Request", TEXT, b"bad request\n"), with_body=True)
        method, target, _ = words
        if method not in {b"GET", b"HEAD"}:
            return _encoded((405, "Method Not Allowed", TEXT, b"only GET and HEAD\n"), with_body=True)
        return _encoded(self._page(target.partition(b"?")[0]), with_body=method == b"GET")

    def _page(self, path: bytes) -> Response:
        if path == b"/healthz":
            return 200, "OK", TEXT, b"ok\n"
        if path == b"/readyz":
            return (200, "OK", TEXT, b"ready\n") if self._is_ready() else (503, "Not Ready", TEXT, b"not ready\n")
        if path == b"/metrics":
            return 200, "OK", CONTENT_TYPE_LATEST, generate_latest()
        return 404, "Not Found", TEXT, b"there are /healthz, /readyz and /metrics\n"


def _encoded(response: Response, *, with_body: bool) -> bytes:
    status, reason, content_type, body = response
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
