"""Brings what operators did to queued deliveries from the database to the event log, whatever dies meanwhile.

The fact is written in the transaction of the operation, and removed once the log has acknowledged it: so operators work
on the queue while NATS is away, and no crash leaves a delivery dropped of which nobody tells. Until the log has the
fact, domains finds it in the database when SPOOL gives the message again.
"""

import asyncio
import secrets
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.configuration.changes import Change, Database
from tripost_admin_api.perseverance import FIRST_PAUSE, Failures
from tripost_admin_api.ports import Cluster, ClusterUnavailable
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.database.models import QueueFact
from tripost_shared.database.transactions import DatabaseUnavailable

log = structlog.get_logger()

LOOK_EVERY: Final = timedelta(seconds=5)  # what another replica wrote and did not live to publish goes out from here
AT_ONCE: Final = 100  # facts in one batch: some 30 kB, so no server finds it too large
READABLE: Final = QueueFact.fact.in_([fact.value for fact in Fact])


def note_fact(change: Change, fact: Fact, message_id: str, recipient: str, actor: str) -> None:
    """Have a fact published if and only if the change is committed."""
    row = QueueFact(
        id=secrets.token_hex(16),
        message_id=message_id,
        recipient=recipient,
        at=change.now,
        fact=fact.value,
        detail=f"by {actor}",
    )
    change.session.add(row)


class FactPublisher:
    """Publishes the facts that wait in the database; any number of replicas may run it.

    A fact that is published twice, by two replicas or after a crash, is written once: it has one id. A fact of a kind
    that a later release has written, before a return to this one, stays where it is and keeps no other back.
    """

    def __init__(self, database: Database, cluster: Cluster) -> None:
        self._database = database
        self._cluster = cluster
        self._wanted = asyncio.Event()
        self._stopping = False
        self._unreadable: frozenset[str] = frozenset()  # ids of rows that the log has told of
        self._failures = Failures("what was done to queued mail not told", (ClusterUnavailable, DatabaseUnavailable))
        cluster.on_regained(self.publish_soon)

    @property
    def trouble(self) -> str:
        """Why nothing is published, in words; empty while it works, or may be about to."""
        return self._failures.trouble

    def publish_soon(self) -> None:
        """Look for facts now; not waited for."""
        self._wanted.set()

    def stop(self) -> None:
        """Publish once more what waits, then end `run`."""
        self._stopping = True
        self._wanted.set()

    async def run(self) -> None:
        """Publish until told to stop, whatever goes wrong meanwhile."""
        while True:
            is_last = self._stopping
            self._wanted.clear()
            try:
                await self._publish()
            except Exception as error:  # an entrance: nobody else would tell of it
                self._failures.add(error)
                await asyncio.sleep(FIRST_PAUSE.total_seconds())
            else:
                self._failures.end()
            if is_last:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY.total_seconds()):
                    await self._wanted.wait()

    async def _publish(self) -> None:
        while self._cluster.is_connected:
            async with self._database.reading() as session:
                await self._tell_unreadable(session)
                wanted = select(QueueFact).where(READABLE).order_by(QueueFact.id).limit(AT_ONCE)
                rows = (await session.scalars(wanted)).all()
            if not rows:
                return
            await self._cluster.publish_facts([_event_of(row) for row in rows])
            async with self._database.writing() as session:
                await session.execute(delete(QueueFact).where(QueueFact.id.in_([row.id for row in rows])))

    async def _tell_unreadable(self, session: AsyncSession) -> None:
        """Log each row once whose fact this release does not know, the first AT_ONCE of them."""
        rows = (await session.scalars(select(QueueFact).where(~READABLE).order_by(QueueFact.id).limit(AT_ONCE))).all()
        for row in rows:
            if row.id not in self._unreadable:
                log.error(
                    "a fact about queued mail is of a kind that this release does not know: it waits for one that does",
                    fact=row.fact,
                    message_id=row.message_id,
                    recipient=row.recipient,
                )
        self._unreadable = frozenset(row.id for row in rows)


def _event_of(row: QueueFact) -> Event:
    return Event(
        id=row.id,
        message_id=row.message_id,
        at=row.at,
        fact=Fact(row.fact),
        service="admin-api",
        stage="queue",
        recipient=row.recipient,
        detail=row.detail,
    )
