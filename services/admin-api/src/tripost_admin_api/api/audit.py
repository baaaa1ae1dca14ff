"""The audit: who changed what, when."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from sqlalchemy import select

from tripost_admin_api.api import paging
from tripost_admin_api.api.models import Outgoing, Page
from tripost_admin_api.api.parts import PartsNeeded
from tripost_shared.database.models import AuditEntry

router = APIRouter(prefix="/audit-entries", tags=["audit"])


class AuditEntryOut(Outgoing):
    """One change. `before` and `after` hold what it changed; null where there was nothing."""

    id: int
    at: datetime
    revision: int
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@router.get("")
async def list_audit_entries(parts: PartsNeeded, query: paging.Listing) -> Page[AuditEntryOut]:
    """List the changes, newest first."""
    statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(query.limit + 1)
    before = paging.decode(query.cursor, tuple[Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]])
    if before is not None:
        statement = statement.where(AuditEntry.id < before[0])
    async with parts.database.reading() as session:
        rows = (await session.scalars(statement)).all()
    items, following = paging.part(rows, query.limit, lambda row: [row.id])
    return Page(items=[AuditEntryOut.model_validate(row) for row in items], next_cursor=following)
