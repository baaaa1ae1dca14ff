"""A whole admin-api that tests start: HTTPS, a database in a folder of its own, and nats-server where it is wanted."""

import asyncio
import io
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import httpx
import pytest
import structlog

from servers import free_port
from tripost_admin_api import app
from tripost_admin_api.app import AdminService
from tripost_admin_api.cli.main import main
from tripost_admin_api.settings import AdminSettings
from tripost_shared.settings import CommonSettings, Listen

START_WITHIN_SECONDS = 30.0


class RunningAdmin:
    """Runs the service in a thread, on a port that the system chose."""

    def __init__(self, home: Path, nats_url: str, max_connections: int = 200) -> None:
        self.home = home
        self._max_connections = max_connections
        self.nats_url = nats_url
        self.service: AdminService | None = None
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._logs: dict[str, Any] = {}

    def start(self) -> None:
        """Start it, and return when it is ready."""
        self.begin().result(START_WITHIN_SECONDS)

    def begin(self) -> "Future[None]":
        """Start it; what is given is done when it is ready. Its logs stay out of what `quick_cli` captures."""
        self._logs = structlog.get_config()
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
        settings = CommonSettings(home=self.home, nats_url=self.nats_url, hostname="admin.example")
        admin = AdminSettings(listen=Listen("127.0.0.1:0"), max_connections=self._max_connections)
        self.service = AdminService(settings, admin)
        self.service.bind()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self.service.start(), self._loop)

    def stop(self) -> None:
        """Stop it as a signal would."""
        assert self.service is not None
        assert self._thread is not None

        async def end() -> None:
            assert self.service is not None
            await self.service.drain()
            await self.service.stop()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(START_WITHIN_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        structlog.configure(**self._logs)

    @property
    def url(self) -> str:
        """Where it serves."""
        assert self.service is not None
        return self.service.url

    def client(self) -> httpx.Client:
        """Give a client that trusts the certificate made at first start, with the command line's token."""
        token = (self.home / "cli" / "token").read_text().strip()
        return httpx.Client(
            base_url=self.url,
            verify=ssl.create_default_context(cafile=str(self.home / "tls" / "admin.crt")),
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )

    def cli(self, *arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run `tripost` as an operator would."""
        return run_cli(*arguments, stdin=stdin, TRIPOST_HOME=str(self.home), **environment)

    def quick_cli(self, *arguments: str, stdin: str = "") -> "CliResult":
        """Run `tripost` in this process: the same but for the start of an interpreter."""
        return invoke(*arguments, stdin=stdin, TRIPOST_HOME=str(self.home))

    def __enter__(self) -> "RunningAdmin":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


@dataclass(frozen=True)
class CliResult:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Read what it printed."""
        assert self.returncode == 0, self.stderr
        return json.loads(self.stdout)


def invoke(*arguments: str, stdin: str = "", **environment: str) -> CliResult:
    """Run `tripost` in this process, with no other TRIPOST_ settings than those given."""
    out, err = io.StringIO(), io.StringIO()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRIPOST_")}
    with (
        patch.dict(os.environ, clean | {"COLUMNS": "200"} | environment, clear=True),
        patch.object(sys, "argv", ["tripost", *arguments]),
        patch.object(sys, "stdin", io.StringIO(stdin)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        else:
            code = 0
    return CliResult(code, out.getvalue(), err.getvalue())


def run_cli(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run `tripost` with nothing of this process' own TRIPOST_ settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRIPOST_")}
    return subprocess.run(
        [Path(sys.executable).parent / "tripost", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**clean, "COLUMNS": "200", **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def running_admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAdmin]:
    running = RunningAdmin(tmp_path_factory.mktemp("home"), f"nats://127.0.0.1:{free_port()}")
    with patch.object(app, "LAST_PUBLISHING_WITHIN", timedelta(seconds=0.1)), running:  # in vain: NATS is away
        yield running


@pytest.fixture
def admin(running_admin: RunningAdmin) -> Iterator[RunningAdmin]:
    """Give an admin-api with nothing configured; NATS is away."""
    yield running_admin
    with running_admin.client() as client:
        for noun, key in (("domains", "name"), ("routes", "domain"), ("relay-networks", "network")):
            for item in client.get(f"/api/v1/{noun}").raise_for_status().json()["items"]:
                with_contents = "?with_contents=true" if noun == "domains" else ""
                client.delete(f"/api/v1/{noun}/{quote(item[key], safe='')}{with_contents}").raise_for_status()
