"""`tripost-edge` as a process of its own, and what a test does with it."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dialog import Dialog
from servers import NatsServer, free_port, free_ports
from tripost_shared.workers import PORTS_APART

START_WITHIN_SECONDS = 20.0
UP_TO_DATA = "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *"


class EdgeProcess:
    """`tripost-edge` with its own ports. `prelude`: Python that it runs first; `proxy`: with a listener for proxies."""

    def __init__(
        self,
        nats: NatsServer,
        tls: tuple[Path, Path],
        folder: Path,
        *,
        prelude: str = "",
        proxy: bool = False,
        **settings: str,
    ) -> None:
        self._prelude = prelude
        self.mx = ("127.0.0.1", free_port())
        self.proxy = ("127.0.0.1", free_port() if proxy else 0)
        self.health = ("127.0.0.1", free_ports(1)[0])
        self.health_of_second = ("127.0.0.1", self.health[1] + PORTS_APART)
        self.log = folder / f"edge-{self.mx[1]}.log"
        certificate, key = tls
        self.environment = {
            "PATH": os.environ["PATH"],
            "TRIPOST_HOME": str(folder),
            "TRIPOST_HOSTNAME": "mx.tripost.example",
            "TRIPOST_NATS_URL": nats.url,
            "TRIPOST_EDGE_MX_LISTEN": f"127.0.0.1:{self.mx[1]}",
            "TRIPOST_EDGE_SUBMISSION_LISTEN": "",
            "TRIPOST_EDGE_SUBMISSIONS_LISTEN": "",
            "TRIPOST_EDGE_HEALTH_LISTEN": f"127.0.0.1:{self.health[1]}",
            "TRIPOST_EDGE_CERTIFICATE": str(certificate),
            "TRIPOST_EDGE_KEY": str(key),
            "TRIPOST_EDGE_GREETING_DELAY_SECONDS": "0",
            "TRIPOST_RUN_USER": "nobody",
            **({"TRIPOST_EDGE_PROXY_LISTENER": f"127.0.0.1:{self.proxy[1]}"} if proxy else {}),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "EdgeProcess":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"{self._prelude}\nfrom tripost_edge.app import main; main()"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        return self

    async def until_ready(self, times: int = 1) -> "EdgeProcess":
        """Wait until a service, or a worker, has said so that often."""
        await until(lambda: self.log.read_bytes().count(b'"service ready"') == times, self.said)
        return self

    def said(self) -> str:
        return self.log.read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(25)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)


async def until(condition: Callable[[], bool], because: Callable[[], str] = str) -> None:
    """Wait until the condition holds; fails with `because` after a while."""
    deadline = time.monotonic() + START_WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < deadline, because()
        await asyncio.sleep(0.02)


async def send(edge: EdgeProcess, content: bytes) -> str:
    """Send a message to ann; gives the reply to its content."""
    async with await Dialog.open(edge.mx) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\n" + UP_TO_DATA)
        for start in range(0, len(content), 65536):
            client.send(content[start : start + 65536])
            await client.writer.drain()
        client.send(b".\r\n")
        return await client.read_reply()


def is_running(pid: int) -> bool:
    """Whether the process is there, and has not ended yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


async def get(address: tuple[str, int], path: str) -> tuple[int, bytes]:
    """Ask an HTTP server; gives the status and the body."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body
