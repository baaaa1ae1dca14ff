"""The directory's records in SQL: a few indexed look-ups, in one statement for an address of ours."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import Boolean, CompoundSelect, Select, bindparam, cast, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_domains.directory.model import (
    CredentialRecord,
    DomainRecord,
    LocalPartRecord,
    RouteRecord,
    SenderRecord,
)
from tripost_domains.directory.resolution import route_names
from tripost_domains.ports import DirectoryUnavailable
from tripost_shared.database.models import JSON_TEXT, Alias, Domain, Mailbox, Route, SenderGrant
from tripost_shared.database.transactions import DatabaseUnavailable, reading
from tripost_shared.mail.lookup import relayable_from_anyone

CATCH_ALL: Final = "*"
PARTS_AT_ONCE: Final = 500

_IS_OURS: Final = Domain.name == bindparam("domain")
_MAILBOXES: Final = (
    select(Mailbox.local_part, Mailbox.enabled, cast(null(), JSON_TEXT).label("targets"))
    .join(Domain, Domain.id == Mailbox.domain_id)
    .where(_IS_OURS, Mailbox.local_part.in_(bindparam("local_parts", expanding=True)))
)
_ALIASES: Final = (
    select(Alias.local_part, cast(null(), Boolean).label("enabled"), Alias.targets)
    .join(Domain, Domain.id == Alias.domain_id)
    .where(_IS_OURS, Alias.local_part.in_(bindparam("aliases", expanding=True)))
)
_DOMAIN: Final = select(
    Domain.name.label("local_part"), cast(null(), Boolean).label("enabled"), cast(null(), JSON_TEXT).label("targets")
).where(_IS_OURS)
_LOOK_UP: Final[CompoundSelect[Any]] = union_all(_MAILBOXES, _ALIASES, _DOMAIN)
_ROUTES: Final = select(Route.domain, Route.host, Route.port, Route.tls, Route.accepts_from_anyone).where(
    Route.domain.in_(bindparam("names", expanding=True))
)


class SqlDirectoryRecords:
    """Reads domains, mailboxes, aliases, routes and grants (the port DirectoryRecords)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(
        self, domain: str, local_parts: Collection[str]
    ) -> tuple[DomainRecord, Mapping[str, LocalPartRecord]]:
        """Read a domain and some of its local parts; a foreign domain costs a second statement, for its route."""
        is_local = False
        mailboxes: dict[str, bool] = {}
        aliases: dict[str, tuple[str, ...]] = {}
        async with _reading(self._engine) as connection:
            for some in _slices(list(local_parts)):
                for name, enabled, targets in await connection.execute(
                    _LOOK_UP, {"domain": domain, "local_parts": some, "aliases": [*some, CATCH_ALL]}
                ):
                    if enabled is not None:
                        mailboxes[name] = enabled
                    elif targets is not None:
                        aliases[name] = tuple(targets)
                    else:
                        is_local = True
                if not is_local:
                    return DomainRecord(is_local=False, route=await _route(connection, domain)), {}
        found = {
            name: LocalPartRecord(mailboxes.get(name), aliases.get(name))
            for name in local_parts
            if name in mailboxes or name in aliases
        }
        return DomainRecord(is_local=True, catch_all=aliases.get(CATCH_ALL)), found

    async def load_credential(self, domain: str, local_part: str) -> CredentialRecord | None:
        """Read a mailbox as a login."""
        async with _reading(self._engine) as connection:
            row = (
                await connection.execute(_mailbox(domain, local_part, Mailbox.enabled, Mailbox.password_hash))
            ).first()
        return None if row is None else CredentialRecord(row.enabled, row.password_hash)

    async def load_sender(self, domain: str, local_part: str) -> SenderRecord | None:
        """Read a mailbox with its grants."""
        statement = _mailbox(domain, local_part, Mailbox.enabled, SenderGrant.pattern).outerjoin(
            SenderGrant, SenderGrant.mailbox_id == Mailbox.id
        )
        async with _reading(self._engine) as connection:
            rows = (await connection.execute(statement)).all()
        if not rows:
            return None
        return SenderRecord(rows[0].enabled, frozenset(row.pattern for row in rows if row.pattern is not None))

    async def first_domain(self) -> str:
        """Name the oldest domain."""
        async with _reading(self._engine) as connection:
            return (await connection.execute(select(Domain.name).order_by(Domain.id).limit(1))).scalar() or ""


async def _route(connection: AsyncConnection, domain: str) -> RouteRecord | None:
    """Give the most specific route; one for any domain, or any of a top-level domain, never opens the relay to anyone.

    Such a row is refused where routes are made; one from before that, or by another hand, must not act either.
    """
    names = route_names(domain)
    routes = {row.domain: row for row in await connection.execute(_ROUTES, {"names": names})}
    for name in names:
        if name in routes:
            row = routes[name]
            return RouteRecord(row.host, row.port, row.tls, row.accepts_from_anyone and relayable_from_anyone(name))
    return None


def _mailbox(domain: str, local_part: str, *columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(Mailbox)
        .join(Domain, Domain.id == Mailbox.domain_id)
        .where(Domain.name == domain, Mailbox.local_part == local_part)
    )


def _slices(local_parts: list[str]) -> Iterator[list[str]]:
    return (local_parts[start : start + PARTS_AT_ONCE] for start in range(0, max(len(local_parts), 1), PARTS_AT_ONCE))


@asynccontextmanager
async def _reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with reading(engine) as connection:
            yield connection
    except DatabaseUnavailable as failure:
        raise DirectoryUnavailable(str(failure)) from failure
