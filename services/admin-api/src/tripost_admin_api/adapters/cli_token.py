"""The command line's token, in the file in which the first start leaves it."""

import asyncio
from pathlib import Path

import structlog

from tripost_admin_api.access.tokens import digest_of

log = structlog.get_logger()


class CliToken:
    """Knows which token lies there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def digest(self) -> str:
        """Give the digest of the token; "" when there is none that can be read."""
        try:
            token = (await asyncio.to_thread(self._path.read_text)).strip()
        except (OSError, ValueError):
            return ""
        return digest_of(token) if token else ""

    async def discard(self) -> None:
        """Remove the file, since the database no longer knows the token: the next start makes another."""
        try:
            await asyncio.to_thread(self._path.unlink, missing_ok=True)
        except OSError as error:
            log.warning("revoked token of the command line cannot be removed", file=str(self._path), because=str(error))
        else:
            log.warning("revoked token of the command line removed: a restart makes another", file=str(self._path))
