"""A list of the queue reads what it shows, however much is queued: on both databases by their own account."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from query_plans import plan_of
from tripost_admin_api.api.queue import QueueQuery, listed
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.database.transactions import writing
from tripost_shared.mail.identifier import message_id_of, new_session_id

NOW = datetime(2026, 1, 2, tzinfo=UTC)
MANY = 4000  # messages: enough for a look at all of them to be the worse plan
ORDER = "ix_queued_messages_received_at"
POSITION = (NOW + timedelta(seconds=2000), "1k3v9q2m8f0abcde.1")


@pytest.fixture
async def queue(database: AsyncEngine) -> AsyncEngine:
    at = {number: NOW + timedelta(seconds=number) for number in range(MANY)}
    ids = {number: message_id_of(new_session_id(at[number]), 1) for number in at}
    path: dict[str, Any] = {"reverse_path": "eve@other.example", "size_octets": 1, "spooled": b""}
    waits: dict[str, Any] = {"recipient": "ann@dest.example", "next_hop": "mx", "state": "deferred", "attempts": 1}
    async with writing(database) as connection:
        await connection.execute(
            insert(QueuedMessage),
            [{"id": ids[number], "received_at": at[number], "content": ids[number], **path} for number in at],
        )
        times = ("created_at", "next_attempt_at", "expires_at")
        await connection.execute(
            insert(QueuedDelivery),
            [{"message_id": ids[number], **dict.fromkeys(times, at[number]), **waits} for number in at],
        )
        if database.dialect.name == "postgresql":
            await connection.execute(text("ANALYZE"))
    return database


async def test_the_index_gives_the_queue_in_the_order_of_its_list(queue: AsyncEngine) -> None:
    """So that a part of the list costs what it shows."""
    for after in (None, POSITION):
        plan = await plan_of(queue, listed(QueueQuery(limit=10), after))
        assert ORDER in plan, plan
        assert not re.search("TEMP B-TREE|Sort|Seq Scan|SCAN queued_messages(?! USING INDEX)", plan), plan


@pytest.mark.parametrize("searched", [{"state": "deferred"}, {"next_hop": "mx"}, {"domain": "dest.example"}], ids=str)
async def test_of_each_message_its_own_deliveries_are_looked_at(queue: AsyncEngine, searched: dict[str, Any]) -> None:
    """Not all that are in the same state, or for the same next hop: the list would be quadratic in the queue."""
    plan = await plan_of(queue, listed(QueueQuery.model_validate(searched | {"limit": 10}), POSITION))
    assert not re.search(r"ix_queued_deliveries_(hop_)?due", plan), plan
    if queue.dialect.name == "sqlite":
        assert re.search(r"SEARCH queued_deliveries USING .*\(message_id=\?", plan), plan
        assert f"queued_messages USING INDEX {ORDER} (" in plan, plan
