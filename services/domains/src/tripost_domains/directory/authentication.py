"""Logins: a mailbox's full address and its password (RFC 4954; argon2id, RFC 9106)."""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from tripost_domains.directory.model import CredentialRecord
from tripost_domains.ports import DirectoryRecords, DirectoryUnavailable, PasswordVerifier, TooBusy
from tripost_shared.clock import Clock
from tripost_shared.contracts.domains import AuthenticateAnswer, AuthenticateQuestion
from tripost_shared.mail.address import Address, InvalidAddress, folded
from tripost_shared.mail.failures import TransientFailure

log = structlog.get_logger()

READ_WITHIN: Final = timedelta(seconds=2)
LONGEST_PASSWORD_OCTETS: Final = 1024
Key = TypeVar("Key")
Value = TypeVar("Value")

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
        self._successes: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._accepted: OrderedDict[tuple[str, str], None] = OrderedDict()  # logins with their credentials
        self._under_way: dict[bytes, asyncio.Task[str]] = {}
        self._generation = 0

    def forget(self) -> None:
        """Note that mailboxes or passwords have changed; what is being verified now is not remembered."""
        self._generation += 1
        self._successes.clear()
        self._accepted.clear()
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
        credential = self._remembered(digest) or await self._joined(digest, address, question)
        return AuthenticateAnswer(accepted=True, login=address.key, credential=credential) if credential else REFUSED

    async def stands(self, login: str, credential: str) -> bool:
        """Say whether a login that was accepted with this credential would be accepted now; raises TransientFailure.

        The mailbox is read each time, since the asker may know of a change before us. While the database is away, what
        was accepted since the last change that we know of stands.
        """
        address = _address(login)
        if address is None:
            return False
        try:
            present = await self._credential(address)
        except TransientFailure:
            if (address.key, credential) in self._accepted:
                return True
            raise
        return present is not None and present.enabled and credential == _name_of(present.password_hash)

    async def _joined(self, digest: bytes, address: Address, question: AuthenticateQuestion) -> str:
        """Let equal questions at one time share one verification."""
        task = self._under_way.get(digest)
        if task is None:
            task = asyncio.create_task(self._decide(digest, address, question))
            self._under_way[digest] = task
            task.add_done_callback(lambda ended: self._ended(digest, ended))
        return await asyncio.shield(task)

    async def _decide(self, digest: bytes, address: Address, question: AuthenticateQuestion) -> str:
        """Give the credential that was right; "" when none was."""
        generation = self._generation
        credential = await self._credential(address)
        matches = await self._verify(credential.password_hash if credential else None, question.password)
        if credential is None or not matches or not credential.enabled:
            self._log_refusal(question, _why_not(credential), login=address.key if credential else "")
            return ""
        name = _name_of(credential.password_hash)
        if generation == self._generation:
            self._remember(digest, address.key, name)
        return name

    def _ended(self, digest: bytes, task: asyncio.Task[str]) -> None:
        if self._under_way.get(digest) is task:
            del self._under_way[digest]
        if not task.cancelled():
            task.exception()  # seen, also when every asker has given up

    async def _credential(self, address: Address) -> CredentialRecord | None:
        try:
            async with asyncio.timeout(READ_WITHIN.total_seconds()):
                return await self._records.load_credential(address.domain, folded(address.local_part))
        except (DirectoryUnavailable, TimeoutError) as failure:
            raise TransientFailure(because=f"directory: {failure or 'no answer in time'}") from failure

    async def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            return await self._verifier.verify(password_hash, password)
        except TooBusy as failure:
            raise TransientFailure(because="too many passwords wait for their verification") from failure

    def _digest(self, address: Address, password: str) -> bytes:
        """Name the pair. Each spelling of a password is another: a hash from before RFC 8265 has but one of them."""
        return hmac.digest(self._key, f"{address.key}\0{password}".encode("utf-8", "surrogatepass"), "sha256")

    def _remembered(self, digest: bytes) -> str:
        credential, until = self._successes.get(digest, ("", 0.0))
        return credential if self._clock.monotonic() < until else ""

    def _remember(self, digest: bytes, login: str, credential: str) -> None:
        until = self._clock.monotonic() + self._limits.remember_for.total_seconds()
        _keep(self._successes, digest, (credential, until), self._limits.at_most)
        _keep(self._accepted, (login, credential), None, self._limits.at_most)

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


def _keep(memory: OrderedDict[Key, Value], key: Key, value: Value, at_most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > at_most:
        memory.popitem(last=False)


def _name_of(password_hash: str | None) -> str:
    """Name a password without telling it: its hash has 16 random octets, so no password can be tried on the name.

    Every replica gives the same name.
    """
    return hashlib.blake2b((password_hash or "").encode(), digest_size=12).hexdigest()


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
