"""The deferred queue as the API's tests fill it and look at it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from admin_api import Api
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.mail.identifier import message_id_of, new_session_id

V1 = "/api/v1/queue/messages"


async def queued(
    api: Api,
    *deliveries: tuple[str, str],
    reverse_path: str = "ann@a.example",
    identifier: str = "",
    next_hop: str = "",
    **columns: Any,
) -> str:
    """Queue a message with deliveries (recipient, state), each tried last a minute ago and due in an hour."""
    api.clock.advance(timedelta(seconds=1))
    now = api.clock.now()
    identifier = identifier or message_id_of(new_session_id(now), 1)
    api.cluster.content.put(identifier, b"octets")
    async with api.parts.database.writing() as session:
        session.add(
            QueuedMessage(
                id=identifier,
                reverse_path=reverse_path,
                size_octets=6,
                received_at=now,
                content=identifier,
                spooled=b"",
            )
        )
        await session.flush()
        for recipient, state in deliveries:
            session.add(
                QueuedDelivery(
                    message_id=identifier,
                    recipient=recipient,
                    next_hop=next_hop or f"mx of {recipient.partition('@')[2]}",
                    state=state,
                    attempts=1,
                    created_at=now,
                    last_attempt_at=now - timedelta(minutes=1),
                    next_attempt_at=now + timedelta(hours=1),
                    expires_at=now + timedelta(days=5),
                    last_reply="451 4.3.0 later",
                    **columns,
                )
            )
    return identifier


async def states(api: Api, identifier: str) -> dict[str, str]:
    async with api.parts.database.reading() as session:
        rows = await session.scalars(select(QueuedDelivery).where(QueuedDelivery.message_id == identifier))
        return {row.recipient: row.state for row in rows}
