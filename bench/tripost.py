"""The product under load: the embedded cluster as `make run` starts it, in a folder of its own."""

import os
import signal
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx

from bench import examinations
from bench.content import CLIENT_NAME, LOCAL_DOMAIN, MAILBOX, RELAY_DOMAIN, RELAYED, SENDER
from bench.message import BLOCK_LISTS
from bench.system import ROOT, BenchError, free_port, wait_until

SERVICES: Final = ("nats-server", "edge", "filter", "domains", "admin-api")
START_WITHIN_SECONDS: Final = 60
GREYLIST_DELAY_SECONDS: Final = 1
EXPECTED_RESULTS: Final = (b"spf=pass", b"dkim=pass")


class Tripost:
    """A cluster of its own, with all checks at work: loopback is exempt from none, the triplets are known."""

    name = "Tripost"

    def __init__(self, home: Path, dns_server: str, next_hop_port: int) -> None:
        self._home = home
        self._port = free_port()
        self._admin_port = free_port()
        self._filter_health_port = free_port()
        self.new_mail = home / "mail" / LOCAL_DOMAIN / MAILBOX.partition("@")[0] / "new"
        self._output = (home.parent / "cluster.log").open("w+")
        self._cluster = subprocess.Popen(
            [Path(sys.prefix) / "bin/tripost-cluster"],
            cwd=ROOT,
            env=os.environ | self._environment(dns_server),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C ends the rounds first
        )
        try:
            wait_until(self._is_ready, "the cluster is ready", START_WITHIN_SECONDS)
            self._configure(next_hop_port)
            self._make_triplets_known()
        except BaseException:
            self.stop()
            raise

    @property
    def port(self) -> int:
        """Where mail from other servers comes in."""
        return self._port

    def processes(self) -> Mapping[str, Sequence[int]]:
        """The services by their pid files, and the process that watches over them and takes their logs."""
        services = {name: [int(self._pid_file(name).read_text())] for name in SERVICES}
        return services | {"supervisor": [self._cluster.pid]}

    def examinations(self) -> Mapping[str, int]:
        """How often each check has examined, by what the filter itself counts. Raises BenchError."""
        try:
            url = f"http://127.0.0.1:{self._filter_health_port}/metrics"
            return examinations.counted(httpx.get(url, trust_env=False).raise_for_status().text)
        except httpx.HTTPError as error:
            raise BenchError(f"the filter's metrics cannot be read: {error}") from error

    def check_arrived(self, stored: bytes) -> str:
        """Every message must carry the results of its checks."""
        header = stored.replace(b"\r\n", b"\n").partition(b"DKIM-Signature:")[0]
        missing = [result.decode() for result in EXPECTED_RESULTS if result not in header]
        return f"a message has no {' and no '.join(missing)} in its Authentication-Results" if missing else ""

    def stop(self) -> None:
        """Stop the cluster as Ctrl-C does."""
        self._cluster.send_signal(signal.SIGINT)
        try:
            self._cluster.wait(60)
        except subprocess.TimeoutExpired:
            self._cluster.kill()  # its services end with it
            self._cluster.wait()
        self._output.close()

    def _environment(self, dns_server: str) -> dict[str, str]:
        def on_any_port() -> str:
            return f"127.0.0.1:{free_port()}"

        return {
            "TRIPOST_HOME": str(self._home),
            "TRIPOST_HOSTNAME": "tripost.bench.example",
            "TRIPOST_DNS_SERVERS": dns_server,
            "TRIPOST_CLUSTER_NATS_PORT": str(free_port()),
            "TRIPOST_EDGE_MX_LISTEN": f"127.0.0.1:{self._port}",
            "TRIPOST_EDGE_SUBMISSION_LISTEN": on_any_port(),
            "TRIPOST_EDGE_SUBMISSIONS_LISTEN": on_any_port(),
            "TRIPOST_EDGE_HEALTH_LISTEN": on_any_port(),
            # All messages come from one address. Remembered, the verdict on it would spare all but one their look-ups.
            "TRIPOST_EDGE_CONNECTION_MEMORY_SECONDS": "0",
            "TRIPOST_FILTER_HEALTH_LISTEN": f"127.0.0.1:{self._filter_health_port}",
            "TRIPOST_DOMAINS_HEALTH_LISTEN": on_any_port(),
            "TRIPOST_ADMIN_LISTEN": f"127.0.0.1:{self._admin_port}",
        }

    def _is_ready(self) -> bool:
        if self._cluster.poll() is not None:
            raise BenchError(f"the cluster ended at its start:\n{self._last_lines()}")
        with suppress(OSError, httpx.HTTPError, smtplib.SMTPException):
            with self._api() as api:
                nodes = api.get("/status").raise_for_status().json()["nodes"]
            with smtplib.SMTP("127.0.0.1", self._port, timeout=5) as client:
                client.noop()
            return {"edge", "filter", "domains"} <= {node["service"] for node in nodes if node["ready"]}
        return False

    def _api(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=self._home / "tls/admin.crt")
        token = (self._home / "cli/token").read_text().strip()
        return httpx.Client(
            base_url=f"https://localhost:{self._admin_port}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            verify=context,
            trust_env=False,
        )

    def _configure(self, next_hop_port: int) -> None:
        policy: dict[str, Any] = {
            "exempt_networks": [],
            "dnsbl_zones": [{"zone": zone} for zone in BLOCK_LISTS],
            "greylist": {"enabled": True, "delay_seconds": GREYLIST_DELAY_SECONDS},
        }
        route = {"domain": RELAY_DOMAIN, "host": "127.0.0.1", "port": next_hop_port, "accepts_from_anyone": True}
        with self._api() as api:
            for method, path, body in (
                ("POST", "/domains", {"name": LOCAL_DOMAIN}),
                ("POST", "/mailboxes", {"address": MAILBOX}),
                ("POST", "/routes", route),
                ("PATCH", "/policy", policy),
            ):
                answer = api.request(method, path, json=body)
                if answer.is_error:
                    raise BenchError(f"{method} {path}: {answer.status_code} {answer.text}")
            wait_until(lambda: _filter_has_newest(api), "the policy is in force", 10)

    def _make_triplets_known(self) -> None:
        """Come back until both recipients are taken, having been told to come back at first."""
        deferred: set[str] = set()
        for recipient in (MAILBOX, RELAYED):

            def is_taken(recipient: str = recipient) -> bool:
                code = self._recipient_reply(recipient)
                if 400 <= code < 500:
                    deferred.add(recipient)
                return code == 250

            wait_until(is_taken, f"{recipient} is accepted after greylisting", 30)
        if deferred != {MAILBOX, RELAYED}:
            raise BenchError("the greylist is not at work: a new triplet was not deferred")

    def _recipient_reply(self, recipient: str) -> int:
        with smtplib.SMTP("127.0.0.1", self._port, local_hostname=CLIENT_NAME, timeout=15) as client:
            client.helo()
            client.mail(SENDER)
            code, _ = client.rcpt(recipient)
        return code

    def _pid_file(self, service: str) -> Path:
        return self._home / "run" / f"{service}.pid"

    def _last_lines(self) -> str:
        self._output.seek(0)
        return "".join(self._output.readlines()[-15:])


def _filter_has_newest(api: httpx.Client) -> bool:
    status = api.get("/status").raise_for_status().json()
    revisions = [node["config_revision"] for node in status["nodes"] if node["service"] == "filter"]
    return bool(revisions) and min(revisions) >= status["revision"]
