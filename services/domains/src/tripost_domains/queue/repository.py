"""The deferred queue in SQL: the same statements on PostgreSQL and SQLite but for locking and conflicts.

A claim is its owner's until it has run out. Its owner may be cut off from the database and still be at work, so others
wait one more lease before they take it over, and an owner that comes back asks what is still its own (`renew`) before
it tells a sender anything. A row is named by its number and its message: SQLite gives a deleted row's number to the
next one that comes. At worst, an attempt that lasts through two leases without the database is made again by
another replica: a next hop may get the message twice then (a Maildir does not), and the sender one DSN.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import (
    Insert,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_domains.queue.due import DueDeliveries
from tripost_domains.queue.model import Claim, Claimed, Deferral, QueueState, Share, Unreadable
from tripost_domains.queue.rows import (
    UNREADABLE,
    claimed_messages,
    delivery_row,
    message_row,
    owner_name,
    put_off_row,
)
from tripost_domains.queue.uninterrupted import uninterrupted
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.database.grouped import GroupedWrites
from tripost_shared.database.models import QueuedDelivery, QueuedMessage, QueueFact
from tripost_shared.database.transactions import reading, writing
from tripost_shared.mail.content import Content

log = structlog.get_logger()


class QueueRepository:
    """Reads and changes the queue; every call is one transaction and raises DatabaseUnavailable.

    `owner` names this process in claims, and no other one that runs now (`queue.owner`).
    """

    def __init__(self, engine: AsyncEngine, owner: str) -> None:
        self._engine = engine
        self._writes = GroupedWrites(engine)
        self._owner = owner_name(owner)
        self._due = DueDeliveries(self._owner)

    @uninterrupted
    async def add(
        self, message: SpooledMessage, content: Content, deferrals: Sequence[Deferral], now: datetime
    ) -> None:
        """Put deliveries into the queue; those that are there already stay as they are."""
        row = message_row(message, content)
        rows = [delivery_row(message.id, deferral, now) for deferral in deferrals]

        async def insert(connection: AsyncConnection) -> None:
            await connection.execute(self._unless_there(QueuedMessage), row)
            await connection.execute(self._unless_there(QueuedDelivery), rows)

        await self._writes.run(insert)

    @uninterrupted
    async def recipients_of(self, message_id: str) -> frozenset[str]:
        """Name the recipients of a message that are in the queue, in any state, or were just dropped from it.

        What an operator dropped is told of here until that is in the event log, whose reader the tracking waits for.
        """
        queued = select(QueuedDelivery.recipient).where(QueuedDelivery.message_id == message_id)
        dropped = select(QueueFact.recipient).where(
            QueueFact.message_id == message_id, QueueFact.fact == Fact.DISCARDED.value
        )
        async with reading(self._engine) as connection:
            return frozenset(await connection.scalars(union_all(queued, dropped)))  # at one moment: a drop moves it

    @uninterrupted
    async def claim_due(self, now: datetime, lease: timedelta, share: Share) -> Claimed:
        """Claim due deliveries, the next hops by turns so that none keeps the others waiting.

        They are chosen before anything is locked, so others may have claimed some of them meanwhile. Deliveries whose
        message cannot be read are held, so that they show, and stop no other.
        """
        async with reading(self._engine) as connection:
            chosen = await self._due.choose(connection, now, lease, share)
        if not chosen:
            return Claimed()
        # A column and no condition: SQLite would look for what is due by an index, not for the rows that were chosen.
        is_due = self._due.may_be_claimed(now, lease, share).label("is_due")
        columns = select(QueuedDelivery.id, QueuedDelivery.claimed_until, is_due)
        chosen_ones = columns.where(QueuedDelivery.id.in_(chosen)).with_for_update(skip_locked=True)
        async with writing(self._engine) as connection:
            free = {row.id: row.claimed_until for row in await connection.execute(chosen_ones) if row.is_due}
            if not free:
                return Claimed(was_beaten=True)
            await connection.execute(
                update(QueuedDelivery)
                .where(QueuedDelivery.id.in_(free))
                .values(state=DeliveryState.ATTEMPTING, claimed_by=self._owner, claimed_until=now + lease)
            )
            found = await _read_claims(connection, free)
        return replace(found, was_beaten=len(free) < len(chosen))

    @uninterrupted
    async def renew(self, claims: Collection[Claim], until: datetime) -> frozenset[int]:
        """Keep claims that are being worked on; gives the numbers of those that are still ours."""
        async with writing(self._engine) as connection:
            kept = await connection.scalars(
                update(QueuedDelivery)
                .where(self._is_ours, _is_of(claims))
                .values(claimed_until=until)
                .returning(QueuedDelivery.id)
            )
            return frozenset(kept)

    @uninterrupted
    async def settle(
        self,
        message_id: str,
        done: Collection[int],
        put_off: Sequence[tuple[int, Deferral]],
        instead: Sequence[Deferral],
        now: datetime,
    ) -> str | None:
        """Note what became of claims: `done` ones go, the others wait again; `instead` come for recipients expanded.

        Gives the name of the content when that was the message's last delivery. A row that an operator has held or
        deleted in the meantime is not put off, and one that another process attempts now is left to it.
        """

        async def write(connection: AsyncConnection) -> str | None:
            await self._lock(connection, message_id)
            if done:
                await self._delete_done(connection, message_id, done)
            if put_off:
                await connection.execute(self._put_off, [put_off_row(message_id, *each, now) for each in put_off])
            if instead:
                rows = [delivery_row(message_id, deferral, now) for deferral in instead]
                await connection.execute(self._unless_there(QueuedDelivery), rows)
            return await _delete_if_empty(connection, message_id)

        return await self._writes.run(write)

    @uninterrupted
    async def release(self, claims: Collection[Claim], due_at: datetime) -> None:
        """Give claims back for which nothing was attempted."""
        mark = _mark({claim.id for claim in claims if claim.may_be_settled})
        async with writing(self._engine) as connection:
            await connection.execute(
                update(QueuedDelivery)
                .where(self._is_ours, _is_of(claims))
                .values(state=DeliveryState.DEFERRED, claimed_by="", claimed_until=mark, next_attempt_at=due_at)
            )

    @uninterrupted
    async def give_back(self, now: datetime) -> int:
        """Let all claims of our name run out for anybody to take at once: ours, or a former process's, at its end.

        Attempts may have been made, so the rows stay claims, by nobody: whoever takes them asks what became of them.
        Gives how many.
        """
        async with writing(self._engine) as connection:
            freed = await connection.execute(
                update(QueuedDelivery).where(self._is_ours).values(claimed_by="", claimed_until=now)
            )
            return freed.rowcount

    @uninterrupted
    async def state(self) -> QueueState:
        """Count the queue."""
        async with reading(self._engine) as connection:
            rows = await connection.execute(
                select(QueuedDelivery.state, func.count(), func.min(QueuedDelivery.created_at)).group_by(
                    QueuedDelivery.state
                )
            )
            found = rows.all()
        counts = dict.fromkeys(DeliveryState, 0) | {DeliveryState(state): count for state, count, _ in found}
        return QueueState(counts, min((oldest for _, _, oldest in found), default=None))

    @uninterrupted
    async def contents(self) -> set[str]:
        """Name all contents that the queue refers to."""
        async with reading(self._engine) as connection:
            return set(await connection.scalars(select(QueuedMessage.content)))

    @uninterrupted
    async def refers_to(self, content: str) -> bool:
        """Tell whether a queued message has this content."""
        async with reading(self._engine) as connection:
            found = await connection.scalar(select(QueuedMessage.id).where(QueuedMessage.content == content).limit(1))
            return found is not None

    @property
    def _is_ours(self) -> Any:
        return and_(QueuedDelivery.state == DeliveryState.ATTEMPTING, QueuedDelivery.claimed_by == self._owner)

    @property
    def _put_off(self) -> Any:
        return (
            update(QueuedDelivery.__table__)  # type: ignore[arg-type]  # a mapped class' table is typed as FromClause
            .where(
                QueuedDelivery.__table__.c.id == bindparam("row_id"),
                QueuedDelivery.__table__.c.message_id == bindparam("of_message"),
                QueuedDelivery.__table__.c.state == DeliveryState.ATTEMPTING,
                QueuedDelivery.__table__.c.claimed_by == self._owner,
            )
            .values(
                state=DeliveryState.DEFERRED,
                claimed_by="",
                claimed_until=bindparam("was_claimed_until"),
                attempts=bindparam("attempts_made"),
                next_hop=bindparam("hop"),
                next_attempt_at=bindparam("due_at"),
                last_attempt_at=bindparam("attempted_at"),
                last_reply=bindparam("reply"),
            )
        )

    async def _delete_done(self, connection: AsyncConnection, message_id: str, done: Collection[int]) -> None:
        rows_done = and_(QueuedDelivery.message_id == message_id, QueuedDelivery.id.in_(done))
        is_free = or_(self._is_ours, QueuedDelivery.state != DeliveryState.ATTEMPTING)
        gone = await connection.execute(delete(QueuedDelivery).where(rows_done, is_free))
        if gone.rowcount < len(done):
            left = len(done) - gone.rowcount
            log.warning("deliveries were deleted or claimed by others meanwhile", message_id=message_id, rows=left)

    async def _lock(self, connection: AsyncConnection, message_id: str) -> None:
        """Two replicas that settle a message's last two deliveries must see each other's deletion."""
        if self._engine.dialect.name == "postgresql":
            await connection.execute(select(QueuedMessage.id).where(QueuedMessage.id == message_id).with_for_update())

    def _unless_there(self, table: type[QueuedMessage] | type[QueuedDelivery]) -> Insert:
        if self._engine.dialect.name == "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        return sqlite.insert(table).on_conflict_do_nothing()


def _is_of(claims: Collection[Claim]) -> Any:
    """Tell which rows are those of the claims."""
    return and_(
        QueuedDelivery.id.in_([claim.id for claim in claims]),
        QueuedDelivery.message_id.in_({claim.message_id for claim in claims}),
    )


async def _read_claims(connection: AsyncConnection, free: Mapping[int, datetime | None]) -> Claimed:
    """Read what was claimed, given until when the rows had been claimed before; None: they had not."""
    rows = await connection.execute(
        select(QueuedDelivery.__table__, QueuedMessage.spooled)
        .join(QueuedMessage, QueuedMessage.id == QueuedDelivery.message_id)
        .where(QueuedDelivery.id.in_(free))
        .order_by(QueuedDelivery.next_attempt_at, QueuedDelivery.id)
    )
    abandoned = {row for row, until in free.items() if until is not None}
    found = claimed_messages(rows.mappings().all(), abandoned)
    await _hold(connection, found.unreadable, _mark(abandoned))
    return found


def _mark(rows: Collection[int]) -> Any:
    """Keep the time of these rows' claims, and of no others: it tells of what waits that it may have been delivered."""
    return case((QueuedDelivery.id.in_(rows), QueuedDelivery.claimed_until))


async def _hold(connection: AsyncConnection, unreadable: Sequence[Unreadable], mark: Any) -> None:
    for each in unreadable:
        log.error("queued message cannot be read, it is held", message_id=each.message_id, because=each.because)
        await connection.execute(
            update(QueuedDelivery)
            .where(QueuedDelivery.id.in_(each.rows))
            .values(state=DeliveryState.HELD, claimed_by="", claimed_until=mark, last_reply=UNREADABLE)
        )


async def _delete_if_empty(connection: AsyncConnection, message_id: str) -> str | None:
    gone: str | None = await connection.scalar(
        delete(QueuedMessage)
        .where(QueuedMessage.id == message_id, ~exists().where(QueuedDelivery.message_id == message_id))
        .returning(QueuedMessage.content)
    )
    return gone
