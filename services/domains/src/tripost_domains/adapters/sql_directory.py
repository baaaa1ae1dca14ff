"""The directory's records in SQL: a few indexed look-ups, in one statement for addresses of ours."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Final

from sqlalchemy import Boolean, CompoundSelect, Select, bindparam, cast, null, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_domains.directory.model import (
    AppPasswordRecord,
    CredentialRecord,
    DomainRecord,
    LocalPartRecord,
    RouteRecord,
    SenderRecord,
)
from tripost_domains.directory.resolution import route_names
from tripost_domains.ports import DirectoryUnavailable, Loaded, Wanted
from tripost_shared.contracts.sasl import DEFAULT_MECHANISMS
from tripost_shared.database.models import (
    JSON_TEXT,
    Alias,
    AppPassword,
    Domain,
    Mailbox,
    MailboxSecret,
    Route,
    SenderGrant,
)
from tripost_shared.database.transactions import DatabaseUnavailable, reading, writing
from tripost_shared.mail.lookup import relayable_from_anyone

CATCH_ALL: Final = "*"
AT_ONCE: Final = 500  # domains, local parts or routes in one statement
PAIRS_AT_ONCE: Final = 20_000  # a statement looks up each of its local parts in each of its domains: 1 us a pair

_IS_OURS: Final = Domain.name.in_(bindparam("domains", expanding=True))
_MAILBOXES: Final = (
    select(Domain.name, Mailbox.local_part, Mailbox.enabled, cast(null(), JSON_TEXT).label("targets"))
    .join(Domain, Domain.id == Mailbox.domain_id)
    .where(_IS_OURS, Mailbox.local_part.in_(bindparam("local_parts", expanding=True)))
)
_ALIASES: Final = (
    select(Domain.name, Alias.local_part, cast(null(), Boolean).label("enabled"), Alias.targets)
    .join(Domain, Domain.id == Alias.domain_id)
    .where(_IS_OURS, Alias.local_part.in_(bindparam("aliases", expanding=True)))
)
_DOMAINS: Final = select(
    Domain.name,
    Domain.name.label("local_part"),
    cast(null(), Boolean).label("enabled"),
    cast(null(), JSON_TEXT).label("targets"),
).where(_IS_OURS)
_LOOK_UP: Final[CompoundSelect[Any]] = union_all(_MAILBOXES, _ALIASES, _DOMAINS)
_ROUTES: Final = select(Route.domain, Route.host, Route.port, Route.tls, Route.accepts_from_anyone).where(
    Route.domain.in_(bindparam("names", expanding=True))
)

_APP_PASSWORD: Final = (
    AppPassword.id,
    AppPassword.name,
    AppPassword.digest,
    AppPassword.scope,
    AppPassword.networks,
    AppPassword.expires_at,
    AppPassword.last_used_at,
)


class SqlDirectoryRecords:
    """Reads domains, mailboxes, aliases, routes and grants (the port DirectoryRecords)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(self, wanted: Wanted) -> Mapping[str, Loaded]:
        """Read domains, each with some of its local parts; foreign ones cost a second statement, for their routes."""
        ours: dict[str, _Ours] = {}
        async with _reading(self._engine) as connection:
            for domains, local_parts in _groups(wanted):
                question = {"domains": domains, "local_parts": local_parts, "aliases": [*local_parts, CATCH_ALL]}
                for domain, name, enabled, targets in await connection.execute(_LOOK_UP, question):
                    found = ours.setdefault(domain, _Ours())
                    if enabled is not None:
                        found.mailboxes[name] = enabled
                    elif targets is not None:
                        found.aliases[name] = tuple(targets)
            routes = await _routes(connection, [domain for domain in wanted if domain not in ours])
        return {
            domain: ours[domain].loaded(local_parts)
            if domain in ours
            else (DomainRecord(False, route=routes[domain]), {})
            for domain, local_parts in wanted.items()
        }

    async def load_credential(self, domain: str, local_part: str) -> CredentialRecord | None:
        """Read a mailbox as a login."""
        columns = (Mailbox.enabled, Mailbox.password_hash, Domain.mechanisms, *_APP_PASSWORD)
        found = _mailbox(domain, local_part, *columns).outerjoin(AppPassword, AppPassword.mailbox_id == Mailbox.id)
        secrets = _mailbox(domain, local_part, MailboxSecret.mechanism, MailboxSecret.sealed).join(
            MailboxSecret, MailboxSecret.mailbox_id == Mailbox.id
        )
        async with _reading(self._engine) as connection:
            rows = (await connection.execute(found)).all()
            sealed = {row.mechanism: row.sealed for row in await connection.execute(secrets)}
        if not rows:
            return None
        return CredentialRecord(
            rows[0].enabled,
            rows[0].password_hash,
            DEFAULT_MECHANISMS if rows[0].mechanisms is None else tuple(rows[0].mechanisms),
            tuple(_app_password(row) for row in rows if row.id is not None),
            sealed,
        )

    async def load_mechanisms(self) -> Collection[str]:
        """Read which mechanisms any domain allows."""
        async with _reading(self._engine) as connection:
            chosen = (await connection.execute(select(Domain.mechanisms).distinct())).scalars().all()
        return {name for names in chosen or [None] for name in (DEFAULT_MECHANISMS if names is None else names)}

    async def note_use(self, app_password: int, at: datetime) -> None:
        """Write when an application password was used last."""
        used = update(AppPassword).where(AppPassword.id == app_password).values(last_used_at=at)
        try:
            async with writing(self._engine) as connection:
                await connection.execute(used)
        except DatabaseUnavailable as failure:
            raise DirectoryUnavailable(str(failure)) from failure

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


@dataclass(slots=True)
class _Ours:
    """What was read of a domain of ours: mailboxes, and whether they are enabled, and aliases, by local part."""

    mailboxes: dict[str, bool] = field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def loaded(self, local_parts: Collection[str]) -> Loaded:
        """Give what was asked for."""
        found = {
            name: LocalPartRecord(self.mailboxes.get(name), self.aliases.get(name))
            for name in local_parts
            if name in self.mailboxes or name in self.aliases
        }
        return DomainRecord(is_local=True, catch_all=self.aliases.get(CATCH_ALL)), found


async def _routes(connection: AsyncConnection, domains: Sequence[str]) -> dict[str, RouteRecord | None]:
    """Give each domain's most specific route.

    One for any domain, or any of a top-level domain, never opens the relay to anyone. Such a row is refused where
    routes are made; one from before that, or by another hand, must not act either.
    """
    names = {domain: route_names(domain) for domain in domains}
    rows: dict[str, Any] = {}
    for some in _slices(list(dict.fromkeys(chain.from_iterable(names.values())))):
        rows |= {row.domain: row for row in await connection.execute(_ROUTES, {"names": some})}
    return {domain: next((_route(rows[name]) for name in names[domain] if name in rows), None) for domain in domains}


def _route(row: Any) -> RouteRecord:
    from_anyone = row.accepts_from_anyone and relayable_from_anyone(row.domain)
    return RouteRecord(row.host, row.port, row.tls, from_anyone)


def _app_password(row: Any) -> AppPasswordRecord:
    return AppPasswordRecord(
        row.id, row.name, row.digest, tuple(row.scope), tuple(row.networks), row.expires_at, row.last_used_at
    )


def _mailbox(domain: str, local_part: str, *columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(Mailbox)
        .join(Domain, Domain.id == Mailbox.domain_id)
        .where(Domain.name == domain, Mailbox.local_part == local_part)
    )


def _groups(wanted: Wanted) -> Iterator[tuple[list[str], list[str]]]:
    """Say what is asked for in one statement each: domains, and all their local parts."""
    domains: list[str] = []
    local_parts: set[str] = set()
    for domain, names in wanted.items():
        for some in _slices(list(names)) or [[]]:
            together = local_parts.union(some)
            if domains and not _fit(len(domains) + 1, len(together)):
                yield domains, list(local_parts)
                domains, together = [], set(some)
            domains.append(domain)
            local_parts = together
    yield domains, list(local_parts)


def _fit(domains: int, local_parts: int) -> bool:
    return domains <= AT_ONCE and local_parts <= AT_ONCE and domains * local_parts <= PAIRS_AT_ONCE


def _slices(names: list[str]) -> list[list[str]]:
    return [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]


@asynccontextmanager
async def _reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with reading(engine) as connection:
            yield connection
    except DatabaseUnavailable as failure:
        raise DirectoryUnavailable(str(failure)) from failure
