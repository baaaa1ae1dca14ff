"""Real servers that tests start on loopback, each on a port of its own."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Final

from tripost_shared.workers import PORTS_APART

START_WITHIN_SECONDS: Final = 15.0
BELOW_EPHEMERAL: Final = range(20_000, 32_000)  # so that no client's own port takes one of them meanwhile
_given: Final = deque[int](maxlen=1000)
_CONFIGURATION: Final = """
host: 127.0.0.1
port: {port}
max_payload: 8MB
max_pending: 64MB
jetstream {{
  store_dir: "{folder}/jetstream"
  sync_interval: always
  max_memory_store: 256MB
  max_file_store: {max_file_store}
}}
{extra}
"""


def free_port() -> int:
    """Give a TCP port that nobody listens on now, nor gets for a connection of his own while no server has it."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Give ports that nobody listens on now, none of them given of late, each with one for a second worker's health."""
    found: list[int] = []
    while len(found) < count:
        port = BELOW_EPHEMERAL[secrets.randbelow(len(BELOW_EPHEMERAL))]
        near = {port - PORTS_APART, port, port + PORTS_APART}
        if near.isdisjoint(_given) and _is_free(port) and _is_free(port + PORTS_APART):
            _given.append(port)
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


class NatsServer:
    """nats-server with JetStream on disk, every acknowledged message synced; it keeps its port and data over a kill.

    It runs in a folder of its own (which it may read, whoever runs the tests), not in the checkout.
    """

    def __init__(self, folder: Path | None = None, *, extra: str = "", max_file_store: str = "16GB") -> None:
        self._owned = tempfile.TemporaryDirectory(prefix="tripost-nats-") if folder is None else None
        self.folder = Path(self._owned.name) if self._owned is not None else folder or Path()
        self.port = free_port()
        self._max_file_store = max_file_store
        self._configuration = self.folder / "nats-server.conf"
        self.replace_extra(extra)
        self._log = self.folder / "nats-server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def replace_extra(self, extra: str) -> None:
        """Replace the further configuration, from the next start on."""
        self._configuration.write_text(
            _CONFIGURATION.format(port=self.port, folder=self.folder, extra=extra, max_file_store=self._max_file_store)
        )

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def process_id(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready."""
        binary = Path(sys.executable).parent / "nats-server"
        with self._log.open("ab") as log:
            offset = log.tell()
            self._process = subprocess.Popen(
                [binary, "-c", self._configuration], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_WITHIN_SECONDS
        while not re.search(rb"Server is ready", self._log.read_bytes()[offset:]):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nats-server did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order, and remove its data if the folder is its own."""
        self._end(signal.SIGTERM)
        if self._owned is not None:
            self._owned.cleanup()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.kill(self._process.pid, number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def __enter__(self) -> "NatsServer":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
