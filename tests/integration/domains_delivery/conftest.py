"""A running delivery service, and a relay agent by itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from sqlalchemy.ext.asyncio import AsyncEngine

from delivery_world import Delivery
from relay_world import RelayWorld
from tripost_domains.delivery.settings import DeliverySettings
from tripost_domains.queue.repository import QueueRepository


@pytest.fixture
def quick() -> DeliverySettings:
    """Settings under which nothing takes longer than a test may."""
    return DeliverySettings(
        relay_connect_seconds=2,
        relay_greeting_seconds=2,
        relay_command_seconds=2,
        relay_block_seconds=2,
        relay_final_seconds=2,
        relay_to_loopback=True,
        relay_host_failure_seconds=0.2,
        retry_first_seconds=0.3,
        queue_poll_seconds=0.05,
    )


@pytest.fixture
async def delivery(tmp_path: Path, database_url: str, quick: DeliverySettings) -> AsyncIterator[Delivery]:
    """A running delivery service, on SQLite and on PostgreSQL."""
    joined = Delivery(tmp_path, database_url, quick)
    await joined.start()
    yield joined
    await joined.stop()


@pytest.fixture
async def world() -> AsyncIterator[RelayWorld]:
    """A relay agent."""
    made = RelayWorld()
    yield made
    await made.pool.close()


@pytest.fixture(scope="session")
def certificate() -> trustme.LeafCert:
    """What a next hop shows."""
    return trustme.CA().issue_cert("hop.example")


@pytest.fixture
def queue(database: AsyncEngine) -> QueueRepository:
    """The queue as one process has it, on SQLite and on PostgreSQL."""
    return QueueRepository(database, "first")


@pytest.fixture
def replica(database: AsyncEngine) -> QueueRepository:
    """The same queue as another process has it."""
    return QueueRepository(database, "second")
