"""What is queued for something that is to be removed: its next try may be its last, so that is told before."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import Query
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import names
from tripost_admin_api.api.problems import Problem
from tripost_admin_api.api.searching import is_address
from tripost_shared.contracts.queue import MAILBOX_HOP, smarthost_hop
from tripost_shared.database.folding import folded_column
from tripost_shared.database.models import QueuedDelivery, Route
from tripost_shared.mail.lookup import DETAIL_SEPARATOR

MOST_READ: Final = 100_000  # deliveries; about 0.2 s, in which other changes wait
NOT_RESOLVED: Final = ""  # stands for the next hop where that was not known when the delivery came into the queue

Concerned = Callable[[Any], ColumnElement[bool]]
Force = Annotated[bool, Query(description="Also when mail is queued for it.")]


async def refuse_while_queued_for_mailbox(session: AsyncSession, address: str) -> None:
    """Raise Problem while deliveries to the mailbox are queued, with a detail or without."""
    local_part, domain = names.halves(address)

    def concerned(recipient: Any) -> ColumnElement[bool]:
        with_detail = folded_column(recipient).startswith(f"{local_part}{DETAIL_SEPARATOR}", autoescape=True)
        return or_(is_address(recipient, address), and_(with_detail, is_address(recipient, f"@{domain}")))

    await _refuse(session, address, (MAILBOX_HOP, NOT_RESOLVED), concerned, "would bounce at the next try")


async def refuse_while_queued_for_domain(session: AsyncSession, domain: str) -> None:
    """Raise Problem while deliveries to mailboxes of a domain of ours are queued."""
    at_domain = f"@{domain}"
    hops = (MAILBOX_HOP, NOT_RESOLVED)
    what = "would go where routes and MX records lead at the next try, or bounce"
    await _refuse(session, domain, hops, lambda recipient: is_address(recipient, at_domain), what)


async def refuse_while_queued_for_route(session: AsyncSession, route: Route) -> None:
    """Raise Problem while deliveries are queued that take the route; a more specific one is not looked for."""
    named = route.domain

    def concerned(recipient: Any) -> ColumnElement[bool]:
        lowered = func.lower(recipient)
        if named == "*":
            return lowered.is_not(None)
        return lowered.endswith(named if named.startswith(".") else f"@{named}", autoescape=True)

    hops: tuple[str, ...] | None = None  # by MX each domain is a next hop of its own
    if route.host is not None:
        hops = (smarthost_hop(route.host, route.port), NOT_RESOLVED)
    elif named[0] not in ".*":
        hops = (named, NOT_RESOLVED)
    what = "would go where the remaining routes or MX records lead at the next try, or bounce"
    await _refuse(session, f"the route {named}", hops, concerned, what)


async def _refuse(
    session: AsyncSession, target: str, hops: tuple[str, ...] | None, concerned: Concerned, what: str
) -> None:
    statement = select(QueuedDelivery.recipient).limit(MOST_READ)
    if hops is None:
        statement = statement.where(QueuedDelivery.next_hop != MAILBOX_HOP)
    else:
        statement = statement.where(QueuedDelivery.next_hop.in_(hops))
    looked_at = statement.subquery()
    counts = select(func.count(), func.count().filter(concerned(looked_at.c.recipient))).select_from(looked_at)
    total, found = (await session.execute(counts)).one()
    is_all = total < MOST_READ
    if is_all and not found:
        return
    number = f"{found}" if is_all else f"Of the first {MOST_READ} deliveries looked at, {found}"
    are = "delivery is" if is_all and found == 1 else "deliveries are" if is_all else "are"
    raise Problem(
        "conflict",
        f"{number} {are} queued for {target}, which {what}. To see them: tripost queue list. To remove it all the "
        "same: force=true, on the command line --force.",
    )
