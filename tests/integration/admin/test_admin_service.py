"""The whole service: first start, HTTPS, a second start, NATS away, the tiers told over NATS."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from admin_service import RunningAdmin
from servers import NatsServer, free_port
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config.kv import KvConfigSource
from tripost_shared.contracts.config import FILTER_KEY, FilterConfig, PolicyMode
from tripost_shared.settings import CommonSettings

V1 = "/api/v1"


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


def wait_until(holds: Callable[[], bool], within: float = 10.0) -> None:
    give_up_at = time.monotonic() + within
    while not holds():
        assert time.monotonic() < give_up_at, "it did not come about in time"
        time.sleep(0.02)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_first_start_leaves_what_an_operator_needs_and_nobody_else_can_read(tmp_path: Path) -> None:
    with RunningAdmin(tmp_path, f"nats://127.0.0.1:{free_port()}") as admin, admin.client() as client:
        password = (tmp_path / "run" / "first-password").read_text().strip()
        assert len(password) >= 20
        assert mode(tmp_path / "run" / "first-password") == 0o600
        assert mode(tmp_path / "cli" / "token") == 0o600
        assert mode(tmp_path / "cli" / "config") == 0o600
        assert mode(tmp_path / "tls" / "admin.key") == 0o600
        assert json.loads((tmp_path / "cli" / "config").read_text()) == {
            "url": admin.url,
            "ca": str(tmp_path / "tls" / "admin.crt"),
        }
        path = f"{V1}/operators/admin/password"
        changed = client.put(path, auth=("admin", password), json={"password": "correct horse"})
        assert changed.status_code == 204
        session = client.post(f"{V1}/session", auth=("admin", "correct horse"))
        assert session.status_code == 201


def test_a_second_start_keeps_token_password_and_certificate(tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with RunningAdmin(tmp_path, url) as admin, admin.client() as client:
        client.post(f"{V1}/domains", json={"name": "local.test"})
        (tmp_path / "run" / "first-password").unlink()
    before = [(tmp_path / name).read_bytes() for name in ("cli/token", "tls/admin.crt")]
    with RunningAdmin(tmp_path, url) as admin, admin.client() as client:
        assert [(tmp_path / name).read_bytes() for name in ("cli/token", "tls/admin.crt")] == before
        assert not (tmp_path / "run" / "first-password").exists()
        assert client.get(f"{V1}/domains/local.test").status_code == 200


def test_a_missing_token_file_is_made_anew_and_the_old_token_is_no_longer_good(tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with RunningAdmin(tmp_path, url):
        old = (tmp_path / "cli" / "token").read_text().strip()
    (tmp_path / "cli" / "token").unlink()
    with RunningAdmin(tmp_path, url) as admin, admin.client() as client:
        assert client.get(f"{V1}/session").status_code == 200
        assert client.get(f"{V1}/session", headers={"Authorization": f"Bearer {old}"}).status_code == 401


def test_only_tls_of_today_is_spoken(tmp_path: Path) -> None:
    with RunningAdmin(tmp_path, f"nats://127.0.0.1:{free_port()}") as admin:
        port = int(admin.url.rpartition(":")[2])
        with admin.client() as client:
            answer = client.get("/healthz")
            assert "server" not in answer.headers
            assert answer.headers["strict-transport-security"]
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(admin.url + "/healthz", trust_env=False)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain)


def test_it_answers_while_nats_is_away_and_publishes_when_it_is_back(tmp_path: Path) -> None:
    nats = NatsServer()
    with RunningAdmin(tmp_path, nats.url) as admin, admin.client() as client:
        status = client.get(f"{V1}/status").json()
        assert status["nats_connected"] is False
        assert "NATS is not reachable" in status["problems"][0]
        assert client.get(f"{V1}/health").json() == {"ready": False, "database": True, "nats": False}
        assert client.patch(f"{V1}/policy", json={"mode": "monitor"}).status_code == 200
        with nats:
            wait_until(lambda: client.get(f"{V1}/status").json()["published_revision"] > 0, 20)
            assert asyncio.run(_policy_in_force(nats.url)).mode is PolicyMode.MONITOR


async def _policy_in_force(url: str) -> FilterConfig:
    link = await NatsLink.connect(CommonSettings(nats_url=url), "filter")
    source = KvConfigSource(link)
    try:
        return (await source.watch(FILTER_KEY, FilterConfig)).current
    finally:
        await source.close()
        await link.close()


def test_a_change_is_watched_by_a_tier_within_two_seconds(tmp_path: Path, nats: NatsServer) -> None:
    async def change_and_watch(client: httpx.Client) -> float:
        link = await NatsLink.connect(CommonSettings(nats_url=nats.url), "filter")
        source = KvConfigSource(link)
        changed = asyncio.Event()
        watched = await source.watch(FILTER_KEY, FilterConfig)
        watched.on_change(lambda config: changed.set() if config.mode is PolicyMode.MONITOR else None)
        began = time.monotonic()
        answer = await asyncio.to_thread(client.patch, f"{V1}/policy", json={"mode": "monitor"})
        assert answer.status_code == 200
        async with asyncio.timeout(2):
            await changed.wait()
        await source.close()
        await link.close()
        return time.monotonic() - began

    with RunningAdmin(tmp_path, nats.url) as admin, admin.client() as client:
        wait_until(lambda: client.get(f"{V1}/health").json()["nats"])
        assert asyncio.run(change_and_watch(client)) < 2.0


def test_a_nats_server_that_lost_its_state_gets_the_configuration_again(tmp_path: Path) -> None:
    port = free_port()
    first, second = NatsServer(), NatsServer()
    for server in (first, second):
        server.port = port
        configuration = server.folder / "nats-server.conf"
        lines = configuration.read_text().splitlines()
        configuration.write_text("\n".join(f"port: {port}" if line.startswith("port:") else line for line in lines))
    with RunningAdmin(tmp_path, f"nats://127.0.0.1:{port}") as admin, admin.client() as client:
        with first:
            wait_until(lambda: client.get(f"{V1}/health").json()["nats"])
            client.patch(f"{V1}/policy", json={"mode": "monitor"})
            assert asyncio.run(_policy_in_force(first.url)).mode is PolicyMode.MONITOR
        with second:
            wait_until(lambda: asyncio.run(_policy_in_force(second.url)).mode is PolicyMode.MONITOR, 20)


def test_status_names_every_instance_and_what_is_missing(tmp_path: Path, nats: NatsServer) -> None:
    with RunningAdmin(tmp_path, nats.url) as admin, admin.client() as client:
        wait_until(lambda: bool(client.get(f"{V1}/status").json()["nodes"]))
        status = client.get(f"{V1}/status").json()
        assert [node["service"] for node in status["nodes"]] == ["admin-api"]
        assert status["spool"] == {"waiting": 0, "attempted": 0, "octets": 0, "partitions": 4}
        assert [problem.partition(":")[0] for problem in status["problems"]] == [
            "No edge answers",
            "No filter answers",
            "No domains answers",
        ]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        pytest.param({"TRIPOST_ADMIN_LISTEN": "here"}, "TRIPOST_ADMIN_LISTEN", id="no address"),
        pytest.param({"TRIPOST_ADMIN_LISTEN": "127.0.0.1:{busy}"}, "TRIPOST_ADMIN_LISTEN: 127", id="port in use"),
        pytest.param({"TRIPOST_ADMIN_CERTIFICATE": "/nowhere"}, "TRIPOST_ADMIN_KEY", id="a certificate without a key"),
        pytest.param(
            {"TRIPOST_ADMIN_CERTIFICATE": "/nowhere", "TRIPOST_ADMIN_KEY": "/nowhere"}, "cannot be used", id="no files"
        ),
        pytest.param({"TRIPOST_DATABASE_URL": "mysql://x"}, "TRIPOST_DATABASE_URL", id="no such database"),
    ],
)
def test_a_wrong_setting_ends_it_with_one_clear_line(tmp_path: Path, variables: dict[str, str], told: str) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        given = {name: value.format(busy=busy.getsockname()[1]) for name, value in variables.items()}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TRIPOST_")}
        listen = {"TRIPOST_ADMIN_LISTEN": "127.0.0.1:0"}
        ended = subprocess.run(
            [Path(sys.executable).parent / "tripost-admin-api"],
            env={**clean, "TRIPOST_HOME": str(tmp_path), "TRIPOST_HOSTNAME": "admin.example", **listen, **given},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 2
    assert told in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
