"""The health listener, asked as a supervisor asks it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tripost_shared import health
from tripost_shared.health import HealthServer
from tripost_shared.settings import Listen, SettingsError


class Readiness:
    def __init__(self) -> None:
        self.is_ready = False

    def __call__(self) -> bool:
        return self.is_ready


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
async def server(readiness: Readiness) -> AsyncIterator[HealthServer]:
    server = HealthServer(Listen("127.0.0.1:0"), readiness)
    server.bind()
    await server.start()
    yield server
    await server.stop()


async def ask(server: HealthServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


async def status_of(server: HealthServer, request: bytes) -> bytes:
    return (await ask(server, request + b" HTTP/1.1\r\nHost: x\r\n\r\n")).split(b"\r\n")[0]


async def test_health_and_readiness_differ(server: HealthServer, readiness: Readiness) -> None:
    assert await status_of(server, b"GET /healthz") == b"HTTP/1.1 200 OK"
    assert await status_of(server, b"GET /readyz") == b"HTTP/1.1 503 Not Ready"
    readiness.is_ready = True
    assert await status_of(server, b"GET /readyz?verbose") == b"HTTP/1.1 200 OK"


async def test_metrics_are_prometheus_text(server: HealthServer) -> None:
    answer = await ask(server, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert b"Content-Type: text/plain; version=" in answer
    assert b"\npython_info{" in answer or b"# TYPE " in answer


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"GET /", b"404"), (b"POST /healthz", b"405"), (b"GET", b"400"), (b"GET /healthz x", b"400")],
)
async def test_all_else_is_refused(server: HealthServer, request_line: bytes, status: bytes) -> None:
    assert (await status_of(server, request_line)).split()[1] == status


async def test_head_has_no_body(server: HealthServer) -> None:
    assert (await ask(server, b"HEAD /healthz HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")


async def test_an_endless_or_slow_request_ends(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ask(server, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * health.REQUEST_OCTETS) == b""
    monkeypatch.setattr(health, "REQUEST_SECONDS", 0.05)
    assert await ask(server, b"GET /hea") == b""


async def test_a_port_in_use_is_named_with_its_setting(server: HealthServer, readiness: Readiness) -> None:
    second = HealthServer(Listen(f"127.0.0.1:{server.port}"), readiness, "TRIPOST_EDGE_HEALTH_LISTEN")
    with pytest.raises(SettingsError, match=rf"TRIPOST_EDGE_HEALTH_LISTEN.*127\.0\.0\.1:{server.port}"):
        second.bind()
