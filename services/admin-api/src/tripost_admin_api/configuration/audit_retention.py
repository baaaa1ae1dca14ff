"""Forgetting changes that were made long ago, but for what is still asked of the audit."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import and_, delete, func, select
from sqlalchemy.orm import aliased

from tripost_admin_api.configuration.changes import Database
from tripost_shared.clock import Clock
from tripost_shared.database.models import AuditEntry
from tripost_shared.database.transactions import DatabaseUnavailable

log = structlog.get_logger()

EVERY: Final = timedelta(hours=1)
AT_ONCE: Final = 200  # entries looked at, and deleted, in one transaction: others want to write too
PAUSE: Final = timedelta(milliseconds=50)


class AuditRetention:
    """Purges entries older than `keep`, once an hour, in small transactions.

    Of the actions `asked_for` the newest entry of each target stays, however old: the audit is asked for it.
    """

    def __init__(self, database: Database, clock: Clock, keep: timedelta, asked_for: Collection[str]) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        later = aliased(AuditEntry)
        newest = select(func.max(later.id)).where(later.target == AuditEntry.target, later.action == AuditEntry.action)
        stays = and_(AuditEntry.action.in_(asked_for), AuditEntry.id == newest.scalar_subquery())
        self._entries = select(AuditEntry.id, AuditEntry.at, stays.label("stays")).order_by(AuditEntry.id)

    async def run(self) -> None:
        """Purge for ever, whatever goes wrong."""
        while True:
            try:
                count = await self.purge()
            except DatabaseUnavailable as failure:
                log.warning("the old audit is purged later", because=str(failure))
            except Exception:  # an entrance: nobody else would see it
                log.exception("purging the old audit broke")
            else:
                if count:
                    log.info("old audit purged", entries=count)
            await asyncio.sleep(EVERY.total_seconds())

    async def purge(self) -> int:
        """Purge all that is old enough now; gives how many entries. Raises DatabaseUnavailable."""
        before = self._clock.now() - self._keep
        total, after = 0, 0
        while True:
            looked_at, outdated = await self._next(after, before)
            if outdated:
                async with self._database.writing() as session:
                    await session.execute(delete(AuditEntry).where(AuditEntry.id.in_(outdated)))
                total += len(outdated)
            if len(looked_at) < AT_ONCE:
                return total
            after = looked_at[-1]
            await asyncio.sleep(PAUSE.total_seconds())

    async def _next(self, after: int, before: datetime) -> tuple[list[int], list[int]]:
        """Give the next old entries, and those of them that go."""
        following = self._entries.where(AuditEntry.id > after).limit(AT_ONCE)
        async with self._database.reading() as session:
            found = (await session.execute(following)).all()
        old = [row for row in found if row.at < before]
        return [row.id for row in old], [row.id for row in old if not row.stays]
