"""Password verification in a few threads (argon2 lets go of the interpreter while it computes)."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog

from tripost_domains.ports import TooBusy
from tripost_shared.database.password_hashes import PasswordHashes

log = structlog.get_logger()


class Argon2Passwords:
    """Verifies up to `threads` at a time; beyond `waiting` more, TooBusy is the answer."""

    def __init__(self, threads: int = 2, waiting: int = 64) -> None:
        self._hashes = PasswordHashes()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._places = threads + waiting

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Compare; None takes as long as a hash and never matches. Raises TooBusy."""
        if self._places <= 0:
            raise TooBusy
        self._places -= 1
        working = asyncio.get_running_loop().run_in_executor(self._pool, self._hashes.match, password, password_hash)
        working.add_done_callback(self._done)
        return await asyncio.shield(working)

    def close(self) -> None:
        """End the threads; what waits is not done any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, working: asyncio.Future[bool]) -> None:
        self._places += 1
        if not working.cancelled() and working.exception() is not None:
            log.error("password could not be verified", exc_info=working.exception())
