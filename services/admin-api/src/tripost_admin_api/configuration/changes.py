"""A change: one transaction with the rows, the new revision and the audit entry, or nothing of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from sqlalchemy import Insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tripost_admin_api.configuration import documents
from tripost_shared.clock import Clock
from tripost_shared.contracts.config import DIRECTORY_KEY, DirectoryChange
from tripost_shared.database.models import AuditEntry, ConfigRevision
from tripost_shared.database.transactions import reading, writing

log = structlog.get_logger()

REVISION_ROW: Final = 1

Published = Callable[[int], Awaitable[None]]


class Change:
    """A transaction that changes something. `revision` is its own: no other change has it, later ones have more."""

    def __init__(self, session: AsyncSession, clock: Clock, actor: str, revision: int) -> None:
        self.session = session
        self.revision = revision
        self.now = clock.now()
        self.concerns_tiers = False
        self.noted: list[tuple[str, str]] = []
        self._actor = actor

    def note(
        self, action: str, target: str, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
    ) -> None:
        """Write an audit entry; `before` and `after` hold what the API shows, so never a secret."""
        entry = AuditEntry(
            at=self.now,
            revision=self.revision,
            actor=self._actor[:120],
            action=action,
            target=target[:400],
            before=before,
            after=after,
        )
        self.session.add(entry)
        self.noted.append((action, target))

    async def touch_directory(self) -> None:
        """Tell the tiers that something in the directory is no longer what they remember."""
        await self.write_document(DIRECTORY_KEY, DirectoryChange())

    async def write_document(self, key: str, document: documents.Document) -> None:
        """Replace what the tiers watch under the key."""
        self.concerns_tiers = True
        await documents.write(self.session, key, document, self.revision)


class Database:
    """Transactions of admin-api. All raise DatabaseUnavailable when the database is away or busy."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self.engine = engine
        self._clock = clock
        self._published: Published | None = None

    def on_change(self, published: Published) -> None:
        """Await this with the revision after each committed change that concerns the tiers."""
        self._published = published

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Look, and change nothing."""
        async with reading(self.engine) as connection, _session(connection) as session:
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """Write what is no change in an operator's sense: when a token was last used, sessions, the first start."""
        async with writing(self.engine) as connection, _session(connection) as session:
            yield session
            await session.flush()

    @asynccontextmanager
    async def changing(self, actor: str) -> AsyncIterator[Change]:
        """Change something: committed at the end, then on its way to the tiers.

        Changes follow one another, since each begins by raising the revision, whose row stays locked to the end: so
        a check and the write that depends on it cannot be divided by another change.
        """
        async with self.writing() as session:
            change = Change(session, self._clock, actor, await self.next_revision(session))
            yield change
        for action, target in change.noted:
            log.info("changed", action=action, target=target, actor=actor, revision=change.revision)
        if change.concerns_tiers and self._published is not None:
            await self._published(change.revision)

    async def next_revision(self, session: AsyncSession, at_least: int = 0) -> int:
        """Raise the revision by one, or to `at_least` if that is more."""
        raised = await self._raise(session)
        if raised is None:
            await session.execute(self._first_row())
            raised = await self._raise(session) or 1
        if raised < at_least:
            raised = at_least
            await session.execute(
                update(ConfigRevision).where(ConfigRevision.id == REVISION_ROW).values(number=at_least)
            )
        return raised

    async def _raise(self, session: AsyncSession) -> int | None:
        """Add one; None when there is no row yet. The row stays locked to the transaction's end."""
        number: int | None = await session.scalar(
            update(ConfigRevision)
            .where(ConfigRevision.id == REVISION_ROW)
            .values(number=ConfigRevision.number + 1, changed_at=self._clock.now())
            .returning(ConfigRevision.number)
        )
        return number

    def _first_row(self) -> Insert:
        """Make the row that the first change of all needs; another replica may do so at the same moment."""
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        values = {"id": REVISION_ROW, "number": 0, "changed_at": self._clock.now()}
        return insert(ConfigRevision).values(values).on_conflict_do_nothing()


async def current_revision(session: AsyncSession) -> int:
    """Give the number of the newest change; 0 before the first."""
    return await session.scalar(select(ConfigRevision.number).where(ConfigRevision.id == REVISION_ROW)) or 0


def _session(connection: Any) -> AsyncSession:
    # The session joins the connection's transaction, which alone commits.
    return AsyncSession(bind=connection, expire_on_commit=False, join_transaction_mode="rollback_only")
