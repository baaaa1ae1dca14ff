"""What all tests may ask for. Real servers are started once a test run."""

from collections.abc import Iterator

import pytest

from servers import NatsServer
from tripost_shared.clock import FrozenClock

pytest_plugins = ["needs", "cluster", "postgres_server"]  # see each for the fixtures it gives


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that moves only by `clock.advance(...)`."""
    return FrozenClock()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """A nats-server that all tests share; who kills or fills it starts an own one."""
    with NatsServer() as server:
        yield server
