"""The embedded cluster as `make run` starts it, for tests: real processes, ports and a state folder of their own.

    with Cluster() as cluster:
        cluster.cli("domain", "add", "local.example")
        cluster.kill("edge")

Started by root, its services run as `nobody`, who cannot reach pytest's own folders; so the state is not in one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pytest

from background import Background
from dns_server import DnsServer
from postgres_server import open_folder
from servers import free_ports

ROOT: Final = Path(__file__).resolve().parent.parent
BIN: Final = Path(sys.executable).parent
READY_WITHIN: Final = 60.0  # seconds; two shared cores may be busy
STOPPED_WITHIN: Final = 40.0
SERVICES: Final = ("edge", "filter", "domains", "admin-api", "nats-server")
SHOWN_LINES: Final = 40
HOSTNAME: Final = "mx.local.example"
PASSWORD: Final = "correct horse battery staple"
# Quick enough for a test to wait for the second attempt.
QUICK_RETRIES: Final = {
    "TRIPOST_DOMAINS_RETRY_FIRST_SECONDS": "0.5",
    "TRIPOST_DOMAINS_RETRY_CAP_SECONDS": "1",
    "TRIPOST_DOMAINS_QUEUE_POLL_SECONDS": "0.2",
    "TRIPOST_DOMAINS_RELAY_HOST_FAILURE_SECONDS": "0",
    "TRIPOST_DOMAINS_RELAY_CONNECT_SECONDS": "2",
}


def until(condition: Callable[[], Any], what: str, within: float = 30.0) -> Any:
    """Wait for a condition and give its value; fails with `what` when it does not come true."""
    give_up_at = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < give_up_at, f"not within {within:g} s: {what}"
        time.sleep(0.02)
    return value


class Cluster:
    """A cluster in a folder of its own. `environment` is added to its settings; "" leaves a setting out.

    `program` is the command that starts it, `cwd` the folder where that is done.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        program: Sequence[str | Path] = (BIN / "tripost-cluster",),
        cwd: Path = ROOT,
    ) -> None:
        self.folder = open_folder("tripost-")
        self.folder.chmod(0o755)
        self.home = self.folder / "var"
        self._program = program
        self._cwd = cwd
        self._output = self.folder / "output"
        ports = free_ports(9)
        self.smtp_port, self.submission_port, self.submissions_port, self.proxy_port, self.admin_port = ports[:5]
        self.environment = {
            name: value
            for name, value in (os.environ | self._settings(ports) | dict(environment or {})).items()
            if value
        }
        self.process: subprocess.Popen[bytes] | None = None

    def _settings(self, ports: Sequence[int]) -> dict[str, str]:
        names = (
            "TRIPOST_EDGE_MX_LISTEN",
            "TRIPOST_EDGE_SUBMISSION_LISTEN",
            "TRIPOST_EDGE_SUBMISSIONS_LISTEN",
            "TRIPOST_EDGE_PROXY_LISTENER",
            "TRIPOST_ADMIN_LISTEN",
            "TRIPOST_EDGE_HEALTH_LISTEN",
            "TRIPOST_FILTER_HEALTH_LISTEN",
            "TRIPOST_DOMAINS_HEALTH_LISTEN",
        )
        listeners = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=False)}
        return {
            **listeners,
            **QUICK_RETRIES,
            "TRIPOST_CLUSTER_NATS_PORT": str(ports[8]),
            "TRIPOST_EDGE_GREETING_DELAY_SECONDS": "0",
            "TRIPOST_HOME": str(self.home),
            "TRIPOST_HOSTNAME": HOSTNAME,
        }

    @property
    def output(self) -> str:
        """What it printed since it was made."""
        return self._output.read_text() if self._output.exists() else ""

    @property
    def output_of_this_start(self) -> str:
        """What it printed since the last start."""
        return self.output.rpartition("— started —")[2]

    def launch(self) -> None:
        """Start it without waiting."""
        with self._output.open("a") as output:
            output.write("— started —\n")
            output.flush()
            self.process = subprocess.Popen(
                list(map(str, self._program)),
                env=self.environment,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> float:
        """Start it, wait until it says that it is ready; gives the seconds that took."""
        began = time.monotonic()
        self.launch()
        give_up_at = began + READY_WITHIN
        while not (self.is_ready or self.has_ended or time.monotonic() > give_up_at):
            time.sleep(0.02)
        assert self.is_ready, self.output_of_this_start
        return time.monotonic() - began

    @property
    def is_ready(self) -> bool:
        """Whether it has said so since its last start."""
        return "Tripost is ready" in self.output_of_this_start

    @property
    def has_ended(self) -> bool:
        """Whether its supervisor has ended."""
        return self.process is None or self.process.poll() is not None

    def interrupt(self) -> None:
        """Do as Ctrl-C does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for its end and give the exit code."""
        assert self.process is not None
        return self.process.wait(STOPPED_WITHIN)

    def stop(self) -> int:
        """Stop it as Ctrl-C does; gives the exit code."""
        self.interrupt()
        return self.wait()

    def pid(self, service: str) -> int:
        """Give a service's process id."""
        return int(until(lambda: self._read_pid(service), f"{service} has a pid file"))

    def _read_pid(self, service: str) -> str:
        try:
            return (self.home / "run" / f"{service}.pid").read_text().strip()
        except FileNotFoundError:
            return ""

    def kill(self, service: str) -> int:
        """End a service as a crash would (SIGKILL); gives the process id that it had."""
        process = self.pid(service)
        os.kill(process, signal.SIGKILL)
        return process

    def wait_until_back(self, service: str, former: int) -> None:
        """Wait until a service that was killed has a new process and is ready."""
        until(lambda: self._read_pid(service) not in {"", str(former)}, f"{service} is started again")
        until(lambda: f"{service} is ready again" in self.output_of_this_start, f"{service} is ready again")

    def cli(self, *words: str, stdin: str = "", check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `tripost` with these words."""
        done = subprocess.run(
            [BIN / "tripost", *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, f"tripost {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def change_edge(self, *words: str) -> None:
        """Run `tripost` with words that change edge's configuration, and wait until that is in force."""
        before = self._revision_of_edge()
        self.cli(*words)
        until(lambda: self._revision_of_edge() > before, f"tripost {' '.join(words)} is in force")

    def _revision_of_edge(self) -> int:
        nodes = json.loads(self.cli("status", "-o", "json", check=False).stdout)["nodes"]
        return min(node["config_revision"] for node in nodes if node["service"] == "edge")

    def cli_json(self, *words: str) -> Any:
        """Run `tripost … -o json` and give what it printed."""
        return json.loads(self.cli(*words, "-o", "json").stdout)

    def add_domain(self, domain: str) -> None:
        """Make a domain of the cluster's own."""
        self.cli("domain", "add", domain)

    def add_mailbox(self, address: str) -> None:
        """Make a mailbox with the password PASSWORD."""
        self.cli("mailbox", "add", address, "--password-stdin", stdin=PASSWORD + "\n")

    def maildir(self, address: str) -> Path:
        """Say where a mailbox's mail is."""
        local_part, _, domain = address.partition("@")
        return self.home / "mail" / domain / local_part

    def mail(self, address: str) -> list[bytes]:
        """Read all messages of a mailbox."""
        new = self.maildir(address) / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []

    def wait_for_mail(self, address: str, within: float = 30.0) -> bytes:
        """Wait for the mailbox's first message."""
        message: bytes = until(lambda: self.mail(address), f"{address} has mail", within)[0]
        return message

    def __enter__(self) -> "Cluster":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all of it, and remove its folder."""
        if not self.has_ended:
            self.interrupt()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                assert self.process is not None
                self.process.kill()  # its services die with it
                self.process.wait()
        shutil.rmtree(self.folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the test's clusters have printed last."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Cluster):
                report.sections.append(("cluster", "\n".join(value.output.splitlines()[-SHOWN_LINES:])))
    return report


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """An event loop for scripted servers, in a thread of its own."""
    background = Background()
    yield background
    background.close()


@pytest.fixture(scope="session")
def dns(background: Background) -> Iterator[DnsServer]:
    """The only DNS server that the tests' clusters ask."""
    with background.running(DnsServer()) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(dns: DnsServer) -> Iterator[Cluster]:
    """A cluster that tests share which break nothing; its domain is `local.example`."""
    with Cluster({"TRIPOST_DNS_SERVERS": dns.address}) as cluster:
        cluster.add_domain("local.example")
        yield cluster


@pytest.fixture
def own_cluster(dns: DnsServer) -> Iterator[Cluster]:
    """A started cluster for one test, which may break it; its domain is `local.example`."""
    with Cluster({"TRIPOST_DNS_SERVERS": dns.address}) as cluster:
        cluster.add_domain("local.example")
        yield cluster
