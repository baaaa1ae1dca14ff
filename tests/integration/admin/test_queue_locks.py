"""An operation on the queue and domains at the same rows in the same moment, on PostgreSQL: each sees the other's."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from admin_api import Api
from admin_queue import V1, queued, states
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery, QueuedMessage

WAITS_FOR_US = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """SQLite has one writer at a time."""
    return postgres_url


async def until_somebody_waits_for(connection: AsyncConnection) -> None:
    async with asyncio.timeout(10):
        while not await connection.scalar(WAITS_FOR_US):  # noqa: ASYNC110 (nothing tells when)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("operation", ["retry", "hold", "drop"])
async def test_what_is_claimed_at_that_moment_is_left_alone(api: Api, operation: str) -> None:
    """It would be delivered although the operator was told that it is dropped or held."""
    identifier = await queued(api, ("bob@b.example", "deferred"))
    claim = {"state": DeliveryState.ATTEMPTING, "claimed_by": "domains"}
    async with api.parts.database.engine.begin() as claiming:
        until = api.clock.now() + timedelta(minutes=1)
        await claiming.execute(update(QueuedDelivery).values(**claim, claimed_until=until))
        operating = asyncio.create_task(api.admin.post(f"{V1}/{identifier}/{operation}"))
        await until_somebody_waits_for(claiming)
    answer = await operating
    assert answer.status_code == 409
    assert "being attempted" in answer.json()["detail"]
    assert await states(api, identifier) == {"bob@b.example": "attempting"}


async def test_what_is_settled_at_that_moment_keeps_nobody_waiting_for_each_other(api: Api) -> None:
    """Domains locks a message before it deletes deliveries; the other order here would be a deadlock."""
    identifier = await queued(api, ("bob@b.example", "deferred"), ("cat@c.example", "deferred"))
    async with api.parts.database.engine.begin() as settling:
        await settling.execute(select(QueuedMessage.id).where(QueuedMessage.id == identifier).with_for_update())
        dropping = asyncio.create_task(api.admin.post(f"{V1}/{identifier}/drop"))
        await until_somebody_waits_for(settling)
        await settling.execute(delete(QueuedDelivery).where(QueuedDelivery.recipient == "bob@b.example"))
    assert (await dropping).json()["changed"] == ["cat@c.example"]
    assert (await api.reader.get(f"{V1}/{identifier}")).status_code == 404
