"""Clients that say nothing, or too little, are cut off; strangers make room, and those over the limit are told so."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest

from admin_service import RunningAdmin
from servers import free_port

MOST = 10
MOST_OF_A_NETWORK = 8
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SHORTENED = ("https_server.HANDSHAKE_WITHIN_SECONDS", "http_connection.REQUEST_WITHIN_SECONDS")


@pytest.fixture
def few(tmp_path: Path) -> Iterator[RunningAdmin]:
    """Give an admin-api that takes few connections."""
    with RunningAdmin(tmp_path, f"nats://127.0.0.1:{free_port()}", max_connections=MOST) as admin:
        yield admin


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> RunningAdmin:
    """Give one that waits less long than it should; a client that it would wait for meets its own time-out."""
    for name in SHORTENED:
        monkeypatch.setattr(f"tripost_admin_api.adapters.{name}", 0.3)
    admin: RunningAdmin = request.getfixturevalue("few")
    return admin


def plain(admin: RunningAdmin) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(admin.url.rpartition(":")[2])), timeout=5)


@contextmanager
def connected(admin: RunningAdmin) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=str(admin.home / "tls" / "admin.crt"))
    with context.wrap_socket(plain(admin), server_hostname="127.0.0.1", suppress_ragged_eofs=True) as client:
        yield client


def known(admin: RunningAdmin) -> bytes:
    """Give a request with the command line's token."""
    token = (admin.home / "cli" / "token").read_text().strip()
    return f"GET /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def answer(client: socket.socket, request: bytes) -> HTTPResponse:
    """Give the whole answer to a request."""
    client.sendall(request)
    response = HTTPResponse(client)
    response.begin()
    response.read()
    return response


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


def test_a_client_that_stops_after_an_answer_is_cut_off(hurried: RunningAdmin) -> None:
    with connected(hurried) as client:
        assert answer(client, known(hurried)).status == 200
        client.sendall(b"G")
        assert is_cut_off(client)


def test_a_client_with_a_request_after_another_is_served(hurried: RunningAdmin) -> None:
    with connected(hurried) as client:
        assert [answer(client, known(hurried)).status for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/api/v1/domains", 401)])
def test_the_answer_to_a_stranger_ends_the_connection(few: RunningAdmin, path: str, status: int) -> None:
    with connected(few) as client:
        answered = answer(client, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert (answered.status, answered.headers["connection"]) == (status, "close")
        assert is_cut_off(client)


def test_strangers_who_hold_connections_keep_nobody_out(few: RunningAdmin) -> None:
    """From the same network, and more of them than there are places at all."""
    with ExitStack() as stack:
        strangers = [stack.enter_context(connected(few)) for _ in range(2 * MOST)]
        for stranger in strangers[::2]:
            with suppress(OSError):  # it is one that had to make room
                stranger.sendall(REQUEST)
        assert few.quick_cli("domain", "list", "-o", "json").json() == []


def test_a_connection_too_many_is_told_the_cause(few: RunningAdmin) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_OF_A_NETWORK):
            client = stack.enter_context(connected(few))
            assert answer(client, known(few)).status == 200
        refused = few.quick_cli("domain", "list")
        assert (refused.returncode, refused.stdout) == (5, "")
        assert f"There are {MOST_OF_A_NETWORK} connections from your network, as many as one may have" in refused.stderr
        assert "TRIPOST_ADMIN_MAX_CONNECTIONS" in refused.stderr
    assert few.quick_cli("domain", "list", "-o", "json").json() == []
