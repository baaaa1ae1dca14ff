"""Whether a service is ready, or alive at least, asked at its own health end points."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from tripost_shared.settings import Listen

ANSWER_WITHIN: Final = timedelta(seconds=2)
BETWEEN_PROBES: Final = timedelta(milliseconds=30)

Probe = Callable[[], Awaitable[bool]]


def http_probe(listen: Listen, path: str, *, tls: bool = False) -> Probe:
    """Ask `path` by HTTP; ready is 200. The certificate is not looked at: the answerer is our child on loopback."""
    context = _any_certificate() if tls else None

    async def probe() -> bool:
        answer = await _first_line(listen, _request(listen, path), context)
        return answer.split(b" ")[1:2] == [b"200"]

    return probe


def http_sign(listen: Listen, path: str, *, tls: bool = False) -> Probe:
    """Ask `path` by HTTP; any answer is a sign of life, also none if the connection is closed without it."""
    context = _any_certificate() if tls else None

    async def probe() -> bool:
        with contextlib.suppress(ConnectionResetError):  # closed before it was read
            await _first_line(listen, _request(listen, path), context)
        return True

    return probe


def nats_probe(listen: Listen) -> Probe:
    """Await the INFO by which a nats-server greets as soon as it takes clients."""

    async def probe() -> bool:
        return (await _first_line(listen, b"", None)).startswith(b"INFO ")

    return probe


async def wait_ready(probe: Probe) -> None:
    """Return when the probe says so; to be cancelled by who no longer waits."""
    while True:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):  # not yet
            async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                if await probe():
                    return
        await asyncio.sleep(BETWEEN_PROBES.total_seconds())


def _request(listen: Listen, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n".encode()


async def _first_line(listen: Listen, request: bytes, tls: ssl.SSLContext | None) -> bytes:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 (compared, not bound)
    reader, writer = await asyncio.open_connection(host, listen.port, ssl=tls)
    try:
        writer.write(request)
        return await reader.readline()
    finally:
        writer.transport.abort()


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
