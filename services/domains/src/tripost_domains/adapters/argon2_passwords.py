"""Password verification by argon2-cffi, in a few threads (it lets go of the interpreter while it computes)."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from tripost_domains.ports import TooBusy

log = structlog.get_logger()

MEMORY_KIB: Final = 19_456  # 19 MiB, two passes, one lane: OWASP's smallest recommended cost
PASSES: Final = 2


class Argon2Passwords:
    """Verifies up to `threads` at a time; beyond `waiting` more, TooBusy is the answer."""

    def __init__(self, threads: int = 2, waiting: int = 64) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1, type=Type.ID)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._places = threads + waiting
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Compare; None takes as long as a hash and never matches. Raises TooBusy."""
        if self._places <= 0:
            raise TooBusy
        self._places -= 1
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._pool, self._matches, password_hash or self._nobodys, password)
        working.add_done_callback(self._done)
        return await asyncio.shield(working) and password_hash is not None

    def close(self) -> None:
        """End the threads; what waits is not done any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, working: asyncio.Future[bool]) -> None:
        self._places += 1
        if not working.cancelled() and working.exception() is not None:
            log.error("password could not be verified", exc_info=working.exception())

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password.encode("utf-8", "surrogatepass"))
        except VerificationError:
            return False
        except InvalidHashError:
            log.warning("a mailbox's password hash is not argon2")
            return False
