"""Passwords that clients show: a mailbox's own, and its application passwords (RFC 4954; argon2id, RFC 9106)."""

import asyncio
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from tripost_domains.directory.app_passwords import find_app_password, objection
from tripost_domains.directory.logins import USES_APART, Login, Logins, address_of, name_of
from tripost_domains.directory.model import AppPasswordRecord
from tripost_domains.ports import PasswordVerifier, TooBusy
from tripost_shared.clock import Clock
from tripost_shared.contracts.domains import AuthenticateAnswer, AuthenticateQuestion
from tripost_shared.mail.failures import TransientFailure

LONGEST_PASSWORD_OCTETS: Final = 1024
FAILURES_FOR: Final = timedelta(seconds=60)
NOTHING_TO_VERIFY: Final = "no address or no password"


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How many successes are remembered, and for how long."""

    at_most: int = 10_000
    remember_for: timedelta = timedelta(seconds=90)


class _Known(NamedTuple):
    answer: AuthenticateAnswer
    until: float  # seconds of the monotonic clock


class Authenticator:
    """Verifies passwords; what came of it is remembered for a short time, since mail programs log in again and again.

    They do so with a wrong password too, and whoever repeats one on purpose must not keep the processor busy.

    Remembered is an HMAC, with a key of this process, of address and password, and of how and from where they came,
    which may decide too. An unknown address takes as long as a wrong password.
    """

    def __init__(
        self, logins: Logins, verifier: PasswordVerifier, clock: Clock, limits: MemoryLimits | None = None
    ) -> None:
        self._logins = logins
        self._verifier = verifier
        self._clock = clock
        self._limits = limits or MemoryLimits()
        self._key = secrets.token_bytes(32)
        self._successes: OrderedDict[bytes, _Known] = OrderedDict()
        self._failures: OrderedDict[bytes, _Known] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[AuthenticateAnswer]] = {}
        self._generation = 0

    def forget(self) -> None:
        """Note that mailboxes or passwords have changed; what is being verified now is not remembered."""
        self._generation += 1
        self._successes.clear()
        self._failures.clear()
        self._under_way.clear()

    async def authenticate(self, question: AuthenticateQuestion) -> AuthenticateAnswer:
        """Answer the question; raises TransientFailure when the database is away or too many wait already."""
        password = question.password
        has_password = 0 < len(password.encode("utf-8", "replace")) <= LONGEST_PASSWORD_OCTETS
        if address_of(question.username) is None or not has_password:
            await self._verify(None, "")
            self._logins.log_refusal(question, NOTHING_TO_VERIFY)
            return AuthenticateAnswer(accepted=False, because=NOTHING_TO_VERIFY)
        digest = self._digest(question)
        failed = self._remembered(self._failures, digest)
        if failed is not None:
            self._logins.log_refusal(question, failed.because)
            return failed
        return self._remembered(self._successes, digest) or await self._joined(digest, question)

    async def _joined(self, digest: bytes, question: AuthenticateQuestion) -> AuthenticateAnswer:
        """Let equal questions at one time share one verification."""
        task = self._under_way.get(digest)
        if task is None:
            task = asyncio.create_task(self._decide(digest, question))
            self._under_way[digest] = task
            task.add_done_callback(lambda ended: self._ended(digest, ended))
        return await asyncio.shield(task)

    async def _decide(self, digest: bytes, question: AuthenticateQuestion) -> AuthenticateAnswer:
        generation = self._generation
        login = await self._logins.find(question.username)
        because = login.objection(question.mechanism)
        given = find_app_password(login.record.app_passwords if login.record else (), question.password)
        if given is not None:
            kind = question.kind.value
            because = because or objection(given, question.client_address, kind, self._clock.now())
        if given is None or because:  # else argon2 would be asked in vain
            matches = await self._verify(login.record.password_hash if login.record else None, question.password)
            because = because or ("" if matches else _why_not(login))
        if because:
            self._logins.log_refusal(question, because, login.key)
            refused = AuthenticateAnswer(accepted=False, because=because)
            if generation == self._generation:
                self._keep(self._failures, digest, refused, FAILURES_FOR.total_seconds())
            return refused
        answer = AuthenticateAnswer(accepted=True, login=login.key, credential=_credential(login, given))
        if given is not None:
            self._note_use(given)
        if generation == self._generation:
            self._remember(digest, answer, given)
            self._logins.accepted(answer.login, answer.credential)
        return answer

    def _ended(self, digest: bytes, task: asyncio.Task[AuthenticateAnswer]) -> None:
        if self._under_way.get(digest) is task:
            del self._under_way[digest]
        if not task.cancelled():
            task.exception()  # seen, also when every asker has given up

    async def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            return await self._verifier.verify(password_hash, password)
        except TooBusy as failure:
            raise TransientFailure(because="too many passwords wait for their verification") from failure

    def _note_use(self, app_password: AppPasswordRecord) -> None:
        last = app_password.last_used_at
        if last is None or self._clock.now() - last >= USES_APART:
            self._logins.note_use(app_password.id)

    def _digest(self, question: AuthenticateQuestion) -> bytes:
        """Name the login. Each spelling of a password is another: a hash from before RFC 8265 has but one of them."""
        address = address_of(question.username)
        facts = (question.mechanism, question.kind.value, question.client_address, address.key if address else "")
        text = "\0".join((*facts, question.password))
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")

    def _remembered(self, memory: "OrderedDict[bytes, _Known]", digest: bytes) -> AuthenticateAnswer | None:
        known = memory.get(digest)
        return known.answer if known is not None and self._clock.monotonic() < known.until else None

    def _remember(self, digest: bytes, answer: AuthenticateAnswer, given: AppPasswordRecord | None) -> None:
        seconds = self._limits.remember_for.total_seconds()
        if given is not None and given.expires_at is not None:
            seconds = min(seconds, (given.expires_at - self._clock.now()).total_seconds())
        self._keep(self._successes, digest, answer, seconds)

    def _keep(
        self, memory: "OrderedDict[bytes, _Known]", digest: bytes, answer: AuthenticateAnswer, seconds: float
    ) -> None:
        memory[digest] = _Known(answer, self._clock.monotonic() + seconds)
        memory.move_to_end(digest)
        while len(memory) > self._limits.at_most:
            memory.popitem(last=False)


def _credential(login: Login, given: AppPasswordRecord | None) -> str:
    if given is not None:
        return name_of(given.digest)
    return name_of((login.record.password_hash if login.record else None) or "")


def _why_not(login: Login) -> str:
    has_none = login.record is None or login.record.password_hash is None
    return "the mailbox has no password, or this is none of its application passwords" if has_none else "wrong password"
