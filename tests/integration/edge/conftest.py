"""A running edge on loopback, its neighbours played by fakes: within the test, or as a process of its own."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from dialog import Dialog
from edge_process import EdgeProcess
from edge_world import HOSTNAME, EdgeWorld, OtherTiers
from servers import NatsServer
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.provision import provision
from tripost_shared.server_tls import server_context
from tripost_shared.settings import CommonSettings


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def tls_files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert(HOSTNAME)
    certificate, key = folder / "edge.crt", folder / "edge.key"
    for pem in issued.cert_chain_pems:
        pem.write_to_path(str(certificate), append=True)
    issued.private_key_pem.write_to_path(str(key))
    return certificate, key


@pytest.fixture(scope="session")
def server_tls(tls_files: tuple[Path, Path]) -> ssl.SSLContext:
    return server_context(*tls_files, "TRIPOST_EDGE_")


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def running(server_tls: ssl.SSLContext) -> AsyncIterator[Callable[..., Awaitable[EdgeWorld]]]:
    """Start edges with settings of the test's choice."""
    worlds: list[EdgeWorld] = []

    async def start(**settings: Any) -> EdgeWorld:
        world = EdgeWorld(server_tls, **settings)
        worlds.append(world)
        return await world.start()

    yield start
    for world in worlds:
        await world.stop()


@pytest.fixture
async def world(running: Callable[..., Awaitable[EdgeWorld]]) -> EdgeWorld:
    """An edge with the settings that it ships with."""
    return await running()


@pytest.fixture
async def dialog(world: EdgeWorld) -> AsyncIterator[Dialog]:
    """A client of the MX listener that has said EHLO."""
    async with await world.greeted() as client:
        yield client


@pytest.fixture
async def submitting(world: EdgeWorld, client_tls: ssl.SSLContext) -> AsyncIterator[Dialog]:
    """A client of the submission listener under TLS, EHLO said again."""
    async with await world.greeted("submission", tls=client_tls) as client:
        await client("C: STARTTLS\nS: 220 *\nC: EHLO client.example\nS: 250 *")
        yield client


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def link(nats: NatsServer) -> AsyncIterator[NatsLink]:
    settings = CommonSettings(nats_url=nats.url)
    link = await NatsLink.connect(settings, "test")
    assert await link.wait_connected(10)
    await provision(link, settings)
    yield link
    await link.close()


@pytest.fixture
async def tiers(link: NatsLink) -> AsyncIterator[OtherTiers]:
    tiers = OtherTiers(kinds={"ann@dest.example": RecipientKind.LOCAL, "far@else.example": RecipientKind.FOREIGN})
    bus = NatsBus(link)
    await tiers.serve(bus)
    yield tiers
    await bus.drain()


@pytest.fixture
def edge_process(
    nats: NatsServer, tls_files: tuple[Path, Path], tmp_path: Path
) -> Iterator[Callable[..., EdgeProcess]]:
    """Start edges; what still runs at the end is killed."""
    started: list[EdgeProcess] = []
    for path in tls_files:
        path.chmod(0o644)

    def start(**settings: Any) -> EdgeProcess:
        started.append(EdgeProcess(nats, tls_files, tmp_path, **settings).start())
        return started[-1]

    yield start
    for process in started:
        process.kill()
