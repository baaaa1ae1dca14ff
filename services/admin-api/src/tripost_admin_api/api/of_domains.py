"""What domains hold, named by a domain and a local part: mailboxes and aliases."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import Field
from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import paging
from tripost_admin_api.api.domains import domain_of_ours
from tripost_admin_api.api.models import DomainName
from tripost_admin_api.api.parts import PartsNeeded
from tripost_admin_api.api.problems import invalid
from tripost_shared.database.models import Alias, Domain, Mailbox

Held = TypeVar("Held", Mailbox, Alias)


class OfDomain(paging.ListQuery):
    """Which part of the list."""

    domain: DomainName | None = Field(None, description="Of this domain of yours only.")


OfDomainQuery = Annotated[OfDomain, Query()]


async def list_held(
    parts: PartsNeeded, table: type[Held], query: OfDomain, *conditions: ColumnElement[bool]
) -> tuple[Sequence[tuple[Held, str]], str | None]:
    """Read a part of the list, by domain and name: rows with their domains' names, and the cursor of the next part.

    Raises Problem for a domain that is not ours: the list would look empty.
    """
    held: Any = table
    statement = select(held, Domain.name).join(Domain).where(*conditions)
    statement = statement.order_by(Domain.name, held.local_part).limit(query.limit + 1)
    after = paging.decode(query.cursor, tuple[str, str])
    if after is not None:
        statement = statement.where(tuple_(Domain.name, held.local_part) > after)
    async with parts.database.reading() as session:
        if query.domain is not None:
            if await domain_of_ours(session, query.domain) is None:
                raise invalid("query.domain", f"{query.domain} is not one of your domains")
            statement = statement.where(Domain.name == query.domain)
        rows = [(row, name) for row, name in await session.execute(statement)]
    return paging.part(rows, query.limit, lambda row: [row[1], row[0].local_part])


async def find_held(session: AsyncSession, table: type[Held], domain: str, local_part: str) -> Held | None:
    """Give what a domain holds under a name; None when that is nothing."""
    held: Any = table
    statement = select(held).join(Domain).where(Domain.name == domain, held.local_part == local_part)
    row: Held | None = await session.scalar(statement)
    return row
