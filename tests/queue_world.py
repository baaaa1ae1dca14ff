"""The deferred queue in SQL, for tests: deliveries to put into it, and what operators do."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from delivery_world import make_message
from tripost_domains.queue.model import Claim, Claimed, Deferral, Share
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.database.transactions import reading, writing
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Recipient

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=1)
MINUTE = timedelta(minutes=1)
ALL = Share(at_most=100, per_hop=100)
BOB = "bob@other.example"


def a_deferral(
    recipient: str = BOB, next_hop: str = "other.example", due_at: datetime = NOW, attempts: int = 1
) -> Deferral:
    return Deferral(
        Recipient(recipient), next_hop, attempts, due_at, NOW + timedelta(days=5), "451 4.4.1 No connection"
    )


def a_claim(number: int = 1, next_hop: str = "other.example", attempts: int = 1) -> Claim:
    return Claim(number, "1k3v9q2m8f0abcde.1", Recipient(BOB), next_hop, attempts, NOW + timedelta(days=5))


async def add(queue: QueueRepository, *deferrals: Deferral, message: SpooledMessage | None = None) -> SpooledMessage:
    """Queue deliveries of a new message."""
    message = message or make_message(*(each.recipient.address for each in deferrals), received_at=NOW)
    content = Content(size_octets=message.content.size_octets, stored=message.id)
    await queue.add(message, content, deferrals, NOW)
    return message


def claims_of(claimed: Claimed) -> list[Claim]:
    return [claim for each in claimed.messages for claim in each.claims]


async def claim(queue: QueueRepository, at: datetime = NOW, share: Share = ALL) -> list[str]:
    """Claim, and name the recipients."""
    return [each.recipient.address for each in claims_of(await queue.claim_due(at, LEASE, share))]


async def rows(database: AsyncEngine) -> tuple[int, int]:
    """How many messages and deliveries there are."""
    async with reading(database) as connection:
        messages = await connection.scalar(select(func.count()).select_from(QueuedMessage))
        deliveries = await connection.scalar(select(func.count()).select_from(QueuedDelivery))
    return messages or 0, deliveries or 0


async def operator_sets(database: AsyncEngine, **values: object) -> None:
    """Change all deliveries, as admin-api does with SQL of its own."""
    async with writing(database) as connection:
        await connection.execute(update(QueuedDelivery).values(**values))
