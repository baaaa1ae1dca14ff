"""A real `tripost-edge` under attack: what it has spooled, what it has logged, how large it has grown."""

import base64
import json
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trustme

from background import Background
from certificate_files import CertificateFiles
from edge_process import EdgeProcess
from edge_world import HOSTNAME, OtherTiers
from servers import NatsServer, free_ports
from spooled import see_that_it_is_clean
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.domains import RecipientKind, ResolveAnswer, ResolveQuestion
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.header import is_printable
from tripost_shared.provision import provision
from tripost_shared.settings import CommonSettings
from tripost_shared.spool.bundle import opened

LISTENERS: Final = ("submission", "submissions", "proxy")
SETTINGS: Final = {
    "TRIPOST_SPOOL_PARTITIONS": "1",
    "TRIPOST_LOG_LEVEL": "debug",
    "TRIPOST_EDGE_AUTH_FAILURE_DELAY_SECONDS": "0",
    "TRIPOST_EDGE_AUTH_FAILURES_PER_NETWORK": "0",
    "TRIPOST_EDGE_ERROR_DELAY_SECONDS": "0",
}


class WatchfulTiers(OtherTiers):
    """Domains knows whose addresses are ours, in a relayed domain all; others are foreign, whatever they look like."""

    async def _resolve(self, question: ResolveQuestion) -> ResolveAnswer:
        self.asked.append(question)
        return ResolveAnswer(tuple(map(self._kind_of, question.recipients)))

    def _kind_of(self, recipient: str) -> RecipientKind:
        of_its_domain = {"dest.example": RecipientKind.UNKNOWN, "relayed.example": RecipientKind.RELAY}
        domain = recipient.rpartition("@")[2]
        return self.kinds.get(recipient) or of_its_domain.get(domain, RecipientKind.FOREIGN)


class Surroundings:
    """A nats-server and the other tiers, which answer at once; what edges put into the spool can be read."""

    def __init__(self, background: Background, server: NatsServer) -> None:
        self.server = server
        self.tiers = WatchfulTiers(
            kinds={
                "ann@dest.example": RecipientKind.LOCAL,
                "bob@dest.example": RecipientKind.LOCAL,
                "user@dest.example": RecipientKind.LOCAL,
                "off@dest.example": RecipientKind.DISABLED,
                "postmaster": RecipientKind.LOCAL,
                **{f"r{number}@dest.example": RecipientKind.LOCAL for number in range(101)},
            },
            passwords={"user@dest.example": "secret"},
            grants={("user@dest.example", "user@dest.example")},
        )
        self._background = background
        self._link = background.run(self._join())
        self._seen = 0

    async def _join(self) -> NatsLink:
        settings = CommonSettings(nats_url=self.server.url, spool_partitions=1)
        link = await NatsLink.connect(settings, "test")
        assert await link.wait_connected(10)
        await provision(link, settings)
        await self.tiers.serve(NatsBus(link))
        return link

    def close(self) -> None:
        """Leave."""
        self._background.run(self._link.close())

    def wait_for(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something asynchronous to its end."""
        self._background.run(work)

    def newly_spooled(self) -> list[SpooledMessage]:
        """Give what has been put into the spool since the last look, oldest first."""
        return self._background.run(self._newly_spooled())

    async def _newly_spooled(self) -> list[SpooledMessage]:
        state = (await jetstream.call(self._link, "STREAM.INFO.SPOOL_0"))["state"]
        found: list[SpooledMessage] = []
        for sequence in range(self._seen + 1, state["last_seq"] + 1):
            stored = await jetstream.call(self._link, "STREAM.MSG.GET.SPOOL_0", {"seq": sequence})
            for message in opened(base64.b64decode(stored["message"]["data"])):
                assert isinstance(message, SpooledMessage)
                found.append(message)
        self._seen = state["last_seq"]
        return found


class ProbedEdge:
    """An edge with all kinds of listeners; `addresses` says where each is."""

    def __init__(self, surroundings: Surroundings, folder: Path, **settings: str) -> None:
        files = CertificateFiles(folder / "edge.crt", folder / "edge.key", trustme.CA(), HOSTNAME)
        files.write()
        for path in files.paths:
            path.chmod(0o644)
        ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        listen = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        self.process = EdgeProcess(
            surroundings.server,
            files.paths,
            folder,
            TRIPOST_EDGE_SUBMISSION_LISTEN=listen["submission"],
            TRIPOST_EDGE_SUBMISSIONS_LISTEN=listen["submissions"],
            TRIPOST_EDGE_PROXY_LISTENER=listen["proxy"],
            **{**SETTINGS, **settings},
        )
        self.addresses = {"mx": self.process.mx, **{name: ("127.0.0.1", port) for name, port in ports.items()}}
        self.surroundings = surroundings
        self._log_read = 0

    def spooled(self) -> list[SpooledMessage]:
        """Give what was spooled since the last look; fails where it has what no message may have."""
        messages = self.surroundings.newly_spooled()
        for message in messages:
            see_that_it_is_clean(message)
        return messages

    def logged(self) -> list[dict[str, Any]]:
        """Give what was logged since the last look; fails where a client has written in it, or something has broken."""
        octets = self.process.log.read_bytes()[self._log_read :]
        octets = octets[: octets.rfind(b"\n") + 1]
        self._log_read += len(octets)
        lines = [_as_an_event(line) for line in octets.decode().split("\n")[:-1]]
        for line in lines:
            assert line["level"] not in {"error", "critical"}, line
        return lines

    def memory_octets(self) -> int:
        """Give its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def probed_edge(surroundings: Surroundings, folder: Path, **settings: str) -> Iterator[ProbedEdge]:
    """Have an edge run, and end it in order."""
    edge = ProbedEdge(surroundings, folder, **settings)
    edge.process.start()
    try:
        surroundings.wait_for(edge.process.until_ready())
        edge.logged()
        yield edge
        assert edge.process.stop() == 0
    finally:
        edge.process.kill()


def _as_an_event(line: str) -> dict[str, Any]:
    assert is_printable(line), f"a log line that is not printable: {line!r}"
    event = json.loads(line)
    assert event.keys() >= {"event", "level", "service", "timestamp"}, line
    assert event["service"] == "edge", line
    return dict(event)
