"""The first start: an operator with a one-time password, the command line's token, its address."""

import asyncio
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import select

from tripost_admin_api.access.actor import Scope
from tripost_admin_api.access.passwords import Passwords, one_time_password
from tripost_admin_api.access.tokens import digest_of, new_token
from tripost_admin_api.configuration.changes import Database
from tripost_shared.database.models import ApiToken, Operator
from tripost_shared.files import write_private
from tripost_shared.settings import SettingsError

log = structlog.get_logger()

OPERATOR: Final = "admin"
BOOTSTRAP: Final = "bootstrap"  # who the audit says it was


@dataclass(frozen=True, slots=True)
class Places:
    """Where the first start leaves things, all of mode 0600 in folders of mode 0700."""

    first_password: Path
    cli_token: Path
    cli_config: Path

    @staticmethod
    def under(home: Path, cli_token: Path | None) -> "Places":
        """Name the usual places; `cli_token` None: `$TRIPOST_HOME/cli/token`."""
        return Places(home / "run" / "first-password", cli_token or home / "cli" / "token", home / "cli" / "config")


class Bootstrap:
    """Makes what is missing; several replicas may do so at once."""

    def __init__(self, database: Database, passwords: Passwords, places: Places) -> None:
        self._database = database
        self._passwords = passwords
        self._places = places

    async def run(self, url: str, certificate: Path | None) -> None:
        """Make sure that there is an operator, and that the command line can work here.

        `certificate` (an absolute path): what the command line is to trust; None: what the system trusts.
        Raises SettingsError and DatabaseUnavailable.
        """
        await self._make_operator()
        await self._make_cli_token()
        config = json.dumps({"url": url, "ca": "" if certificate is None else str(certificate)})
        await _leave(self._places.cli_config, config)

    async def _make_operator(self) -> None:
        async with self._database.reading() as session:
            if await session.scalar(select(Operator.id).limit(1)) is not None:
                return
        password = one_time_password()
        password_hash = await self._passwords.hash(password)
        async with self._database.changing(BOOTSTRAP) as change:
            if await change.session.scalar(select(Operator.id).limit(1)) is not None:
                return  # another replica was faster
            row = Operator(name=OPERATOR, password_hash=password_hash, must_change_password=True, created_at=change.now)
            change.session.add(row)
            change.note("operator.create", OPERATOR)
            # Inside of the transaction: a password that nobody could read must not become the operator's.
            await _leave(self._places.first_password, password)
        log.info("operator made, with a one-time password", operator=OPERATOR, file=str(self._places.first_password))

    async def _make_cli_token(self) -> None:
        present = await _read(self._places.cli_token)
        name = cli_token_name()
        async with self._database.reading() as session:
            row = await session.scalar(select(ApiToken).where(ApiToken.token_sha256 == digest_of(present)))
        if present and row is not None:
            return
        token = new_token()
        async with self._database.changing(BOOTSTRAP) as change:
            row = await change.session.scalar(select(ApiToken).where(ApiToken.name == name))
            if row is None:
                row = ApiToken(name=name, scope=Scope.ADMIN.value, created_at=change.now)
                change.session.add(row)
            row.token_sha256, row.created_at, row.expires_at = digest_of(token), change.now, None
            row.last_used_at = None
            change.note("token.create", name, after={"scope": Scope.ADMIN.value, "expires_at": None})
            await _leave(self._places.cli_token, token)
        log.info("token for the command line made", token=name, file=str(self._places.cli_token))


async def _read(path: Path) -> str:
    """Read a line; "" when there is no such file. Raises SettingsError."""
    try:
        return (await asyncio.to_thread(path.read_text)).strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SettingsError(f"TRIPOST_HOME: {path} cannot be read: {error.strerror}") from error


async def _leave(path: Path, line: str) -> None:
    """Write a private file. Raises SettingsError: an OSError inside of a transaction would pass for the database's."""
    try:
        await asyncio.to_thread(write_private, path, line + "\n")
    except OSError as error:
        raise SettingsError(f"TRIPOST_HOME: {path} cannot be written: {error.strerror}") from error


def cli_token_name() -> str:
    """Name this host's token, so that replicas on several hosts have one each."""
    host = "".join(character for character in socket.gethostname().lower() if character.isalnum() or character in "-.")
    return f"cli.{host[:50]}" if host else "cli"
