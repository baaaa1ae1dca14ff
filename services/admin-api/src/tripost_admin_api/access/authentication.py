"""Who is it? Bearer tokens (RFC 6750) for everything, an operator's password (RFC 7617) to get one."""

import asyncio
import base64
import binascii
import secrets
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.access import tokens
from tripost_admin_api.access.actor import Actor
from tripost_admin_api.access.passwords import LONGEST_OCTETS, Passwords
from tripost_admin_api.access.roll import SESSION_NAME, TokenRoll, actor_of, operator_of
from tripost_admin_api.access.throttle import LoginThrottle, keys_of
from tripost_admin_api.configuration.changes import Database
from tripost_shared.clock import Clock
from tripost_shared.database.models import ApiToken, Operator
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.mail.header import printable

log = structlog.get_logger()

NOTE_USE_EVERY: Final = timedelta(minutes=1)  # so that reading does not write each time
ROLL_AFTER: Final = timedelta(seconds=5)  # a database that is silent for so long cannot be asked


class NotAuthenticated(Exception):
    """Nobody we know; the message is for the client, and the same for unknown, wrong and expired."""


class Throttled(Exception):
    """Too many failed logins."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__("too many failed logins")
        self.wait = wait


class Authenticator:
    """Reads the Authorization field."""

    def __init__(
        self, database: Database, passwords: Passwords, throttle: LoginThrottle, roll: TokenRoll, clock: Clock
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._throttle = throttle
        self._roll = roll
        self._clock = clock

    async def authenticate(
        self, authorization: str, client_address: str, *, by_password: bool, by_roll: bool = False
    ) -> Actor:
        """Give who asks; raises NotAuthenticated, Throttled or DatabaseUnavailable.

        `by_password`: the request takes HTTP Basic too. `by_roll`: while the database cannot be asked, a token will do
        that was good when it could be.
        """
        scheme, _, credentials = authorization.strip().partition(" ")
        credentials = credentials.strip()
        if scheme.lower() == "bearer":
            return await self._by_token(credentials, by_roll=by_roll)
        if scheme.lower() == "basic" and by_password:
            return await self._by_password(credentials, client_address)
        if scheme.lower() == "basic":
            raise NotAuthenticated(
                "A password is accepted for POST /api/v1/session and for setting a password only; send a bearer token."
            )
        raise NotAuthenticated("Send a token: `Authorization: Bearer tripost_…`.")

    async def _by_token(self, token: str, *, by_roll: bool) -> Actor:
        if not token or len(token) > tokens.LONGEST:
            raise _unknown_token()
        digest = tokens.digest_of(token)
        try:
            async with asyncio.timeout(ROLL_AFTER.total_seconds() if by_roll else None):
                row = await self._token(digest)
        except (DatabaseUnavailable, TimeoutError) as error:
            actor = await self._roll.find(digest) if by_roll else None
            if actor is None:
                raise DatabaseUnavailable(str(error) or "no answer in time") from error
            return actor
        now = self._clock.now()
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            self._roll.strike(digest)
            raise _unknown_token()
        if row.last_used_at is None or now - row.last_used_at >= NOTE_USE_EVERY:
            await self._note_use(row.id, now)
        return actor_of(row)

    async def _token(self, digest: str) -> ApiToken | None:
        async with self._database.reading() as session:
            row: ApiToken | None = await session.scalar(select(ApiToken).where(ApiToken.token_sha256 == digest))
        return row

    async def _by_password(self, credentials: str, client_address: str) -> Actor:
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise NotAuthenticated("The Basic credentials cannot be read (RFC 7617).") from None
        if not colon or len(password.encode()) > LONGEST_OCTETS or len(name) > 100:
            raise NotAuthenticated("The Basic credentials cannot be read (RFC 7617).")
        keys = keys_of(client_address, name)
        wait = self._throttle.attempt(*keys)
        if wait:
            log.warning("login put off", operator=printable(name), client=client_address, seconds=wait.total_seconds())
            raise Throttled(wait)
        async with self._database.reading() as session:
            row = await session.scalar(select(Operator).where(Operator.name == name))
        if not await self._passwords.verify(password, None if row is None else row.password_hash) or row is None:
            log.warning("login failed", operator=printable(name), client=client_address)
            raise NotAuthenticated("Name or password is wrong.")
        self._throttle.succeeded(*keys)
        return Actor(f"operator {row.name}", None, row.name, row.must_change_password, proof=row.password_hash)

    async def _note_use(self, identifier: int, now: datetime) -> None:
        try:
            async with self._database.writing() as session:
                await session.execute(update(ApiToken).where(ApiToken.id == identifier).values(last_used_at=now))
        except DatabaseUnavailable as error:  # busy with something that matters more
            log.info("use of a token not noted", because=str(error))


async def confirm(session: AsyncSession, actor: Actor) -> None:
    """Make sure, in the transaction of a change, that what let the actor in is still good; raises NotAuthenticated.

    Between the two another change may have revoked the token, or set another password and so ended the sessions.
    """
    if actor.scope is None:
        statement = select(Operator.id).where(Operator.name == actor.operator, Operator.password_hash == actor.proof)
    else:
        statement = select(ApiToken.id).where(ApiToken.token_sha256 == actor.proof)
    if await session.scalar(statement) is None:
        raise NotAuthenticated("What you logged in with has just been changed or revoked; nothing was done.")


def session_token_name(operator: str) -> str:
    """Name a new session's token."""
    return f"{SESSION_NAME}{operator} {secrets.token_hex(6)}"


async def end_sessions(session: AsyncSession, operator: str, expired_before: datetime | None = None) -> None:
    """Forget the operator's session tokens; those that expired before then, if a time is given."""
    named = select(ApiToken).where(ApiToken.name.startswith(f"{SESSION_NAME}{operator} ", autoescape=True))
    if expired_before is not None:
        named = named.where(ApiToken.expires_at < expired_before)
    for row in await session.scalars(named):
        # SQLite's LIKE takes upper and lower case for the same, and another operator's name may begin with this one.
        if operator_of(row.name) == operator:
            await session.delete(row)


def _unknown_token() -> NotAuthenticated:
    return NotAuthenticated("The token is not known, or has expired.")
