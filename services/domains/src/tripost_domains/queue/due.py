"""Finding due deliveries without reading the whole queue, however much of it is due.

The oldest ones are read; mostly these are all. Where there are more, one next hop's may stand before all others, so the
next hops are walked through by an index, some at each look, and the first deliveries of those that are chosen are read.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, String, and_, func, literal, not_, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from tripost_domains.queue.fairness import Due, fairest, hops_to_ask
from tripost_domains.queue.model import Share
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery

OLDEST_READ: Final = 100
HOPS_WALKED: Final = 100  # at each look

_WAS_GIVEN_BACK: Final = and_(QueuedDelivery.state == DeliveryState.ATTEMPTING, QueuedDelivery.claimed_by == "")


class DueDeliveries:
    """What may be claimed by one owner; remembers how far its walk has come."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._walked_to: str | None = None

    async def choose(self, connection: AsyncConnection, now: datetime, lease: timedelta, share: Share) -> list[int]:
        """Choose what to claim; others may claim it first. It only reads."""
        run_out = await connection.execute(_columns().where(self._run_out(now, lease, share), _is_idle(share)))
        found = [Due(*row) for row in run_out]
        oldest = _columns().where(_waits(now), _is_idle(share)).order_by(QueuedDelivery.next_attempt_at)
        first = [Due(*row) for row in await connection.execute(oldest.limit(OLDEST_READ))]
        if len(first) < OLDEST_READ:
            return fairest(found + first, share)
        heads = dict((await self._walk(connection, now)) + [(each.next_hop, each.due_at) for each in reversed(first)])
        hops = hops_to_ask(heads, share)
        if hops:
            at_most = max(map(share.room_for, hops))
            rows = await connection.execute(_first_of(hops, at_most, now, share, connection.dialect.name))
            found += [Due(*row) for row in rows]
        return fairest(found, share)

    def may_be_claimed(self, now: datetime, lease: timedelta, share: Share) -> ColumnElement[bool]:
        """Tell what is still due when it is claimed."""
        return or_(_waits(now), self._run_out(now, lease, share))

    def _run_out(self, now: datetime, lease: timedelta, share: Share) -> ColumnElement[bool]:
        is_ours = and_(QueuedDelivery.state == DeliveryState.ATTEMPTING, QueuedDelivery.claimed_by == self._owner)
        run_out = and_(or_(is_ours, _WAS_GIVEN_BACK), QueuedDelivery.claimed_until <= now)
        if not share.takes_over:
            return run_out
        is_abandoned = and_(
            QueuedDelivery.state == DeliveryState.ATTEMPTING, QueuedDelivery.claimed_until <= now - lease
        )
        return or_(run_out, is_abandoned)

    async def _walk(self, connection: AsyncConnection, now: datetime) -> list[tuple[str, datetime]]:
        """Go on to further next hops, and from the last to the first; gives those for which something is due."""
        rows = (await connection.execute(_hops_after(self._walked_to, now))).all()
        self._walked_to = rows[-1].hop if len(rows) == HOPS_WALKED else None
        return [(row.hop, row.due_at) for row in rows if row.due_at is not None]


def _columns() -> Select[int, str, datetime]:
    return select(QueuedDelivery.id, QueuedDelivery.next_hop, QueuedDelivery.next_attempt_at)


def _waits(now: datetime) -> ColumnElement[bool]:
    return and_(QueuedDelivery.state == DeliveryState.DEFERRED, QueuedDelivery.next_attempt_at <= now)


def _is_idle(share: Share) -> ColumnElement[bool]:
    """Leave the busy rows out, not one that was given the number of a row that an operator has deleted."""
    if not share.busy_rows:
        return literal(value=True)
    numbers, messages = zip(*share.busy_rows, strict=True)
    return not_(and_(QueuedDelivery.id.in_(numbers), QueuedDelivery.message_id.in_(set(messages))))


def _hops_after(last: str | None, now: datetime) -> Select[Any]:
    """Look into the index for each next hop's name, and for its first due delivery: past all others of it."""
    first = select(func.min(QueuedDelivery.next_hop).label("hop"), literal(1).label("step"))
    if last is not None:
        first = first.where(QueuedDelivery.next_hop > last)
    hops = first.cte("hops", recursive=True)
    following = select(func.min(QueuedDelivery.next_hop)).where(QueuedDelivery.next_hop > hops.c.hop).scalar_subquery()
    hops = hops.union_all(select(following, hops.c.step + 1).where(hops.c.hop.is_not(None), hops.c.step < HOPS_WALKED))
    due_at = (
        select(func.min(QueuedDelivery.next_attempt_at))
        .where(QueuedDelivery.next_hop == hops.c.hop, _waits(now))
        .scalar_subquery()
    )
    return select(hops.c.hop, due_at.label("due_at")).where(hops.c.hop.is_not(None)).order_by(hops.c.step)


def _first_of(
    hops: Sequence[str], at_most: int, now: datetime, share: Share, dialect: str
) -> Select[int, str, datetime]:
    """Read the first due deliveries of each of these next hops; SQLite knows no LATERAL, and needs none."""
    of_one = _columns().where(_waits(now), _is_idle(share))
    of_one = of_one.order_by(QueuedDelivery.next_attempt_at).limit(at_most)
    # The names are one parameter: a statement that differs with their number would be compiled anew each time.
    if dialect == "postgresql":
        asked = func.unnest(literal(list(hops), ARRAY(String))).table_valued("hop").render_derived("asked")
        first = of_one.where(QueuedDelivery.next_hop == asked.c.hop).lateral("first")
        columns = select(first.c.id, first.c.next_hop, first.c.next_attempt_at)
        return columns.select_from(asked.join(first, literal(value=True)))
    asked = func.json_each(literal(msgspec.json.encode(hops).decode())).table_valued("value", name="asked")
    ids = of_one.where(QueuedDelivery.next_hop == asked.c.value).with_only_columns(QueuedDelivery.id)
    row = aliased(QueuedDelivery)
    columns = select(row.id, row.next_hop, row.next_attempt_at)
    return columns.join_from(asked, row, row.id.in_(ids.correlate(asked)))
