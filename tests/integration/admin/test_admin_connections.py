"""Clients that say nothing, or too little, are cut off; those over the limit are told so."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from admin_service import RunningAdmin
from servers import free_port

MOST = 10
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
REFUSED = b"POST /api/v1/domains HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
SHORTENED = ("HANDSHAKE_WITHIN_SECONDS", "REQUEST_WITHIN_SECONDS")


@pytest.fixture
def few(tmp_path: Path) -> Iterator[RunningAdmin]:
    """Give an admin-api that takes few connections."""
    with RunningAdmin(tmp_path, f"nats://127.0.0.1:{free_port()}", max_connections=MOST) as admin:
        yield admin


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> RunningAdmin:
    """Give one that waits less long than it should; a client that it would wait for meets its own time-out."""
    for name in SHORTENED:
        monkeypatch.setattr(f"tripost_admin_api.adapters.https_server.{name}", 0.3)
    admin: RunningAdmin = request.getfixturevalue("few")
    return admin


def plain(admin: RunningAdmin) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(admin.url.rpartition(":")[2])), timeout=5)


@contextmanager
def connected(admin: RunningAdmin) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=str(admin.home / "tls" / "admin.crt"))
    with context.wrap_socket(plain(admin), server_hostname="127.0.0.1", suppress_ragged_eofs=True) as client:
        yield client


def is_cut_off(client: socket.socket) -> bool:
    """Read to the end; False when there is none within the client's time-out."""
    try:
        while client.recv(1000):
            pass
    except TimeoutError:
        return False
    except OSError:  # a reset is an end as well
        return True
    return True


def test_a_client_without_tls_is_cut_off(hurried: RunningAdmin) -> None:
    with closing(plain(hurried)) as client:
        assert is_cut_off(client)


@pytest.mark.parametrize("said", [b"", REQUEST], ids=["nothing", "half a header"])
def test_a_client_without_a_request_is_cut_off(hurried: RunningAdmin, said: bytes) -> None:
    with connected(hurried) as client:
        client.sendall(said)
        assert is_cut_off(client)


@pytest.mark.parametrize(
    ("first", "more"),
    [pytest.param(REQUEST + b"\r\n", b"G", id="half a header"), pytest.param(REFUSED, b"x", id="a refused body")],
)
def test_a_client_that_stops_after_an_answer_is_cut_off(hurried: RunningAdmin, first: bytes, more: bytes) -> None:
    with connected(hurried) as client:
        client.sendall(first)
        assert client.recv(1000).startswith(b"HTTP/1.1 ")
        client.sendall(more)
        assert is_cut_off(client)


def test_a_client_with_a_request_after_another_is_served(hurried: RunningAdmin) -> None:
    with hurried.client() as client:
        assert [client.get("/healthz").status_code for _ in range(3)] == [200, 200, 200]


def test_a_connection_too_many_is_told_the_cause(few: RunningAdmin) -> None:
    with ExitStack() as stack:
        for _ in range(MOST):
            client = stack.enter_context(connected(few))
            client.sendall(REQUEST + b"\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        refused = few.quick_cli("domain", "list")
        assert (refused.returncode, refused.stdout) == (5, "")
        assert f"There are more than {MOST} connections (TRIPOST_ADMIN_MAX_CONNECTIONS)" in refused.stderr
    assert few.quick_cli("domain", "list", "-o", "json").json() == []
