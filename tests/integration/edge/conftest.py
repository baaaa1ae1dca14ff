"""A running edge on loopback, its neighbours played by fakes."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from dialog import Dialog
from edge_world import HOSTNAME, EdgeWorld
from tripost_edge.listeners.tls import server_context


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
    return server_context(*tls_files)


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
