"""Mailboxes that were: their mail stays on disk, where a new mailbox of the same address would hand it to its user."""

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import names
from tripost_shared.database.models import AuditEntry

REMOVED_MAILBOX: Final = "mailbox.delete"
REMOVED_DOMAIN: Final = "domain.delete"
REMOVALS: Final = frozenset({REMOVED_MAILBOX, REMOVED_DOMAIN})  # the newest of each stays in the audit for ever


async def removed_at(session: AsyncSession, address: str) -> datetime | None:
    """Tell when a mailbox of that address was removed last, as the audit has it; None: never.

    Of a domain that was removed with its contents the audit says how many mailboxes it had, not which: so each of its
    addresses may have been one.
    """
    mailbox = await _last(session, REMOVED_MAILBOX, address)
    domain = await _last(session, REMOVED_DOMAIN, names.halves(address)[1])
    had_mailboxes = domain is not None and bool((domain.before or {}).get("mailboxes"))
    removals = (mailbox, domain if had_mailboxes else None)
    return max((removal.at for removal in removals if removal is not None), default=None)


async def _last(session: AsyncSession, action: str, target: str) -> AuditEntry | None:
    found = select(AuditEntry).where(AuditEntry.target == target, AuditEntry.action == action)
    row: AuditEntry | None = await session.scalar(found.order_by(AuditEntry.id.desc()).limit(1))
    return row
