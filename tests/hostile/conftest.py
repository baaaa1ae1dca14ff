"""A real edge that all probes share, and one that is impatient."""

from collections.abc import Iterator

import pytest

from background import Background
from probed_edge import ProbedEdge, Surroundings, probed_edge
from servers import NatsServer

IMPATIENT = {
    "TRIPOST_EDGE_COMMAND_TIMEOUT_SECONDS": "1",
    "TRIPOST_EDGE_CONTENT_TIMEOUT_SECONDS": "3",
    "TRIPOST_EDGE_CONTENT_MINIMUM_RATE": "20000",
    "TRIPOST_EDGE_CONTENT_RATE_GRACE_SECONDS": "0.5",
    "TRIPOST_EDGE_SESSION_SECONDS": "1.6",
    "TRIPOST_EDGE_TLS_HANDSHAKE_SECONDS": "0.5",
    "TRIPOST_EDGE_PROXY_HEADER_SECONDS": "0.5",
    "TRIPOST_EDGE_SIZE_LIMIT_OCTETS": "100000",
    "TRIPOST_EDGE_COMMANDS_PER_SESSION": "100",
    "TRIPOST_EDGE_IDLE_COMMANDS_PER_SESSION": "1000",
    "TRIPOST_EDGE_MESSAGES_PER_SESSION": "3",
}


@pytest.fixture(scope="session")
def surroundings() -> Iterator[Surroundings]:
    background = Background()
    with NatsServer() as server:
        world = Surroundings(background, server)
        yield world
        world.close()
    background.close()


@pytest.fixture(scope="session")
def edge(surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProbedEdge]:
    """An edge with the limits that it ships with; it holds no reply back."""
    with probed_edge(surroundings, tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="session")
def impatient(surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProbedEdge]:
    """An edge whose patience ends at once."""
    with probed_edge(surroundings, tmp_path_factory.mktemp("impatient"), **IMPATIENT) as running:
        yield running
