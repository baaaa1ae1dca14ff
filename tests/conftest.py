"""What all tests may ask for. Real servers are started once a test run."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from servers import NatsServer
from tripost_shared.clock import FrozenClock

pytest_plugins = ["needs", "postgres_server", "cluster"]  # see each for the fixtures it gives


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the event loop of the services: its transports and time-outs are not asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that moves only by `clock.advance(...)`."""
    return FrozenClock()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """A nats-server that all tests share; who kills or fills it starts an own one."""
    with NatsServer() as server:
        yield server
