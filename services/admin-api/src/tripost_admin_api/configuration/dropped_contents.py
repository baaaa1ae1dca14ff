"""The content of messages that operators drop: forgotten some time later, as domains forgets that of settled ones."""

import asyncio
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from tripost_admin_api.configuration.changes import Database
from tripost_admin_api.perseverance import Failures
from tripost_admin_api.ports import Cluster
from tripost_shared.clock import Clock
from tripost_shared.content.forgetting import Forgetting
from tripost_shared.database.models import QueuedMessage
from tripost_shared.database.transactions import DatabaseUnavailable

FORGET_EVERY: Final = timedelta(seconds=30)


class DroppedContents:
    """Remembers in memory alone: what is dropped before the process ends is left to domains' sweep."""

    def __init__(self, database: Database, cluster: Cluster, clock: Clock) -> None:
        self._database = database
        self._forgetting = Forgetting(cluster.delete_content, clock)
        self._failures = Failures("content of dropped messages not deleted", (DatabaseUnavailable,))

    def forget_later(self, content: str) -> None:
        """Delete a dropped message's content some time later: an instance of domains may still read it."""
        self._forgetting.forget_later(content)

    async def run(self) -> None:
        """Delete what is due, again and again, until cancelled."""
        while True:
            await asyncio.sleep(FORGET_EVERY.total_seconds())
            try:
                await self.forget_due()
            except Exception as error:  # an entrance: nothing would be forgotten any more
                self._failures.add(error)
            else:
                self._failures.end()

    async def forget_due(self) -> None:
        """Delete what is due now; raises DatabaseUnavailable."""
        await self._forgetting.forget_due(self._is_queued)

    async def _is_queued(self, content: str) -> bool:
        async with self._database.reading() as session:
            found = select(QueuedMessage.id).where(QueuedMessage.content == content).limit(1)
            return await session.scalar(found) is not None
