"""Logins: a mailbox's full address and its password (RFC 4954; argon2id, RFC 9106)."""

import asyncio
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from tripost_domains.directory.model import CredentialRecord
from tripost_domains.ports import DirectoryRecords, DirectoryUnavailable, PasswordVerifier, TooBusy
from tripost_shared.clock import Clock
from tripost_shared.contracts.domains import AuthenticateAnswer, AuthenticateQuestion
from tripost_shared.mail.address import Address, InvalidAddress
from tripost_shared.mail.failures import TransientFailure

log = structlog.get_logger()

READ_WITHIN: Final = timedelta(seconds=2)
LONGEST_PASSWORD_OCTETS: Final = 1024
REFUSED: Final = AuthenticateAnswer(accepted=False)


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How many successes are remembered, and for how long."""

    at_most: int = 10_000
    remember_for: timedelta = timedelta(seconds=90)


class Authenticator:
    """Verifies passwords; a success is remembered for a short time, since mail programs log in again and again.

    Remembered is an HMAC of address and password with a key of this process, never the password. An unknown address
    takes as long as a wrong password.
    """

    def __init__(
        self, records: DirectoryRecords, verifier: PasswordVerifier, clock: Clock, limits: MemoryLimits | None = None
    ) -> None:
        self._records = records
        self._verifier = verifier
        self._clock = clock
        self._limits = limits or MemoryLimits()
        self._key = secrets.token_bytes(32)
        self._successes: OrderedDict[bytes, float] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[bool]] = {}
        self._generation = 0

    def forget(self) -> None:
        """Note that mailboxes or passwords have changed; what is being verified now is not remembered."""
        self._generation += 1
        self._successes.clear()
        self._under_way.clear()

    async def authenticate(self, question: AuthenticateQuestion) -> AuthenticateAnswer:
        """Answer the question; raises TransientFailure when the database is away or too many wait already."""
        address = _address(question.username)
        password = question.password
        if address is None or not 0 < len(password.encode("utf-8", "replace")) <= LONGEST_PASSWORD_OCTETS:
            await self._verify(None, "")
            self._log_refusal(question, "no address or no password")
            return REFUSED
        digest = self._digest(address, password)
        if self._is_remembered(digest) or await self._joined(digest, address, question):
            return AuthenticateAnswer(accepted=True, login=address.key)
        return REFUSED

    async def _joined(self, digest: bytes, address: Address, question: AuthenticateQuestion) -> bool:
        """Let equal questions at one time share one verification."""
        task = self._under_way.get(digest)
        if task is None:
            task = asyncio.create_task(self._decide(digest, address, question))
            self._under_way[digest] = task
            task.add_done_callback(lambda ended: self._ended(digest, ended))
        return await asyncio.shield(task)

    async def _decide(self, digest: bytes, address: Address, question: AuthenticateQuestion) -> bool:
        generation = self._generation
        credential = await self._credential(address)
        matches = await self._verify(credential.password_hash if credential else None, question.password)
        if credential is None or not matches or not credential.enabled:
            self._log_refusal(question, _why_not(credential), login=address.key if credential else "")
            return False
        if generation == self._generation:
            self._remember(digest)
        return True

    def _ended(self, digest: bytes, task: asyncio.Task[bool]) -> None:
        if self._under_way.get(digest) is task:
            del self._under_way[digest]
        if not task.cancelled():
            task.exception()  # seen, also when every asker has given up

    async def _credential(self, address: Address) -> CredentialRecord | None:
        try:
            async with asyncio.timeout(READ_WITHIN.total_seconds()):
                return await self._records.load_credential(address.domain, address.local_part.lower())
        except (DirectoryUnavailable, TimeoutError) as failure:
            raise TransientFailure(because=f"directory: {failure or 'no answer in time'}") from failure

    async def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            return await self._verifier.verify(password_hash, password)
        except TooBusy as failure:
            raise TransientFailure(because="too many passwords wait for their verification") from failure

    def _digest(self, address: Address, password: str) -> bytes:
        return hmac.digest(self._key, f"{address.key}\0{password}".encode("utf-8", "surrogatepass"), "sha256")

    def _is_remembered(self, digest: bytes) -> bool:
        until = self._successes.get(digest)
        return until is not None and self._clock.monotonic() < until

    def _remember(self, digest: bytes) -> None:
        self._successes[digest] = self._clock.monotonic() + self._limits.remember_for.total_seconds()
        self._successes.move_to_end(digest)
        while len(self._successes) > self._limits.at_most:
            self._successes.popitem(last=False)

    def _log_refusal(self, question: AuthenticateQuestion, because: str, login: str = "") -> None:
        """Name the login only when it is one: what is typed into the wrong field may be a password."""
        log.info(
            "login refused",
            session=question.session_id,
            client=question.client_address,
            mechanism=question.mechanism,
            login=login,
            because=because,
        )


def _address(username: str) -> Address | None:
    try:
        return Address.parse(username)
    except InvalidAddress:
        return None


def _why_not(credential: CredentialRecord | None) -> str:
    if credential is None:
        return "no such mailbox"
    if not credential.enabled:
        return "the mailbox is disabled"
    return "the mailbox has no password" if credential.password_hash is None else "wrong password"
