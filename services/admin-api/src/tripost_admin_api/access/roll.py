"""The tokens that the database held when it was asked last: they open the status while it cannot be asked.

Digests only, never a token. The roll is read anew every ten seconds, so a token needs not have been used lately. Before
it was read for the first time, since the start, the command line's own token is on it, which lies here in a file: good
when it was left there, and removed within twenty seconds once it is revoked.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Protocol

import structlog
from sqlalchemy import or_, select

from tripost_admin_api.access.actor import Actor, Scope
from tripost_admin_api.configuration.changes import Database
from tripost_shared.clock import Clock
from tripost_shared.database.models import ApiToken
from tripost_shared.database.transactions import DatabaseUnavailable

log = structlog.get_logger()

READ_EVERY: Final = timedelta(seconds=10)  # as long may a token be known here that another replica has revoked
GOOD_FOR: Final = timedelta(hours=1)  # nobody can revoke a token meanwhile, but where another replica has a database
MOST_KEPT: Final = 1000  # those used last; 300 KB
OWN_NAME: Final = "token of the command line"  # its name is in the database
SESSION_NAME: Final = "session "  # then the operator's name and a random part: what a session's token is called


@dataclass(frozen=True, slots=True)
class _Entry:
    actor: Actor
    expires_at: datetime | None


_NOBODY: Final[Mapping[str, _Entry]] = MappingProxyType({})


class OwnToken(Protocol):
    """The token that admin-api itself has made for the command line beside it."""

    async def digest(self) -> str:
        """Give its digest; "" when there is none."""
        ...

    async def discard(self) -> None:
        """Remove it, as it has been revoked."""
        ...


class TokenRoll:
    """Run `run` in a task; what it has read last is good for GOOD_FOR."""

    def __init__(self, database: Database, clock: Clock, own: OwnToken) -> None:
        self._database = database
        self._clock = clock
        self._own = own
        self._was_read = False
        self._unknown_own = ""
        self._entries = _NOBODY
        self._read_at = clock.monotonic()
        self._clearings = 0

    async def run(self) -> None:
        """Read it anew for ever, whatever goes wrong."""
        while True:
            await asyncio.sleep(READ_EVERY.total_seconds())
            try:
                await self.read()
            except DatabaseUnavailable:  # what this is for, and others tell of it
                pass
            except Exception:  # an entrance: nobody else would see it
                log.exception("the roll of tokens cannot be read")

    async def read(self) -> None:
        """Take what the database has now. Raises DatabaseUnavailable."""
        clearings, now, read_at = self._clearings, self._clock.now(), self._clock.monotonic()
        lasting = select(ApiToken).where(or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now))
        newest = lasting.order_by(ApiToken.last_used_at.desc().nulls_last(), ApiToken.id.desc()).limit(MOST_KEPT)
        async with self._database.reading() as session:
            rows = (await session.scalars(newest)).all()
            own = await self._own.digest()
            is_known = await session.scalar(select(ApiToken.id).where(ApiToken.token_sha256 == own)) is not None
        self._was_read = True
        unknown = "" if is_known else own
        if unknown and unknown == self._unknown_own:  # at first, the replica that has left it may be about to commit
            await self._own.discard()
        self._unknown_own = unknown
        if clearings == self._clearings:  # else what was read may be from before a revocation
            self._entries = {row.token_sha256: _Entry(actor_of(row), row.expires_at) for row in rows}
            self._read_at = read_at

    def clear(self) -> None:
        """Know nobody until it is read again, since a token may have been revoked."""
        self._clearings += 1
        self._entries = _NOBODY

    def strike(self, digest: str) -> None:
        """Take in that the database refuses a token: if it is known here, the roll is not what the database has."""
        if digest in self._entries:
            self.clear()

    async def find(self, digest: str) -> Actor | None:
        """Give whose token it is; None when it is not known here, has expired, or the roll is too old."""
        if not self._was_read:
            return Actor(OWN_NAME, Scope.READ, proof=digest) if digest == await self._own.digest() else None
        entry = self._entries.get(digest)
        if entry is None or self._clock.monotonic() - self._read_at > GOOD_FOR.total_seconds():
            return None
        has_expired = entry.expires_at is not None and entry.expires_at <= self._clock.now()
        return None if has_expired else entry.actor


def actor_of(row: ApiToken) -> Actor:
    """Say who comes with the token."""
    operator = operator_of(row.name)
    if operator:
        return Actor(f"operator {operator}", Scope(row.scope), operator, proof=row.token_sha256)
    return Actor(f"token {row.name}", Scope(row.scope), proof=row.token_sha256)


def operator_of(token_name: str) -> str:
    """Give whose session a token is; "" for a token that is no session's."""
    return token_name.removeprefix(SESSION_NAME).rpartition(" ")[0] if token_name.startswith(SESSION_NAME) else ""
