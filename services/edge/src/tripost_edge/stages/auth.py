"""AUTH: the client proves who it is (RFC 4954); domains answers, edge holds no secrets."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from tripost_edge.firewall.networks import network_of
from tripost_edge.limits.directory_memory import DirectoryMemory
from tripost_edge.limits.login_failures import LoginFailures
from tripost_edge.ports import Bus, NoAnswer
from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_edge.stages.journal import Journal
from tripost_edge.stages.mechanisms import OfferedMechanisms
from tripost_edge.stages.sasl import OWN_MECHANISMS, Credentials, Exchange, decoded
from tripost_edge.stages.sasl_relay import RelayedExchange
from tripost_shared.contracts.domains import AUTHENTICATE, AuthenticateAnswer, AuthenticateQuestion
from tripost_shared.contracts.sasl import SaslAnswer, SaslOutcome
from tripost_shared.contracts.subject import Subject
from tripost_shared.mail.client import ListenerKind
from tripost_shared.mail.failures import PermanentFailure, TransientFailure
from tripost_shared.mail.header import printable
from tripost_shared.mail.reply import SmtpReply

Converse = Callable[[SmtpReply], Awaitable[str]]
"""Send a challenge, give the client's next line."""

Guess = tuple[str, str]
"""A user name, and what tells its password from another one."""

Question = TypeVar("Question", bound=msgspec.Struct)
Answer = TypeVar("Answer", bound=msgspec.Struct)

WRONG: Final = "wrong user name or password"
TOO_OFTEN: Final = "too many failures of this network"


class Auth:
    """Runs SASL exchanges. Each failure of a session makes the next answer slower; too many end the session.

    A network that has failed too often in any sessions is refused for a while, whatever it gives, unless it may relay
    without a login: then it is one of ours, where many users have one address.
    """

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        failures: LoginFailures,
        directory: DirectoryMemory,
        note_offence: Callable[[Session], None],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._failures = failures
        self._directory = directory
        self._note_offence = note_offence
        self._offered = OfferedMechanisms(bus, directory)
        self._pause = pause

    async def offer(self, session: Session) -> None:
        """Find out what EHLO is to offer: what the next AUTH will take."""
        session.offered_mechanisms = await self._offered.of(session)

    async def take(self, session: Session, argument: str, converse: Converse) -> SmtpReply:
        """Answer AUTH; `converse` carries the challenges. Raises what `converse` raises."""
        refusal = _not_now(session)
        if refusal is not None:
            return refusal
        name, _, initial = argument.partition(" ")
        mechanism = name.upper()
        if mechanism not in await self._offered.of(session):
            return replies.AUTH_UNKNOWN_MECHANISM if name else replies.ARGUMENT_NEEDED
        try:
            response = _initial_response(initial.strip(" \t"))
            if mechanism in OWN_MECHANISMS:
                credentials = await _exchange(OWN_MECHANISMS[mechanism](), response, converse)
                return await self._verify(session, mechanism, credentials)
            return await self._relay(session, mechanism, response, converse)
        except PermanentFailure as failure:
            if failure.reply.code == replies.AUTH_INVALID.code:
                return await self._failed(session, replies.AUTH_INVALID, f"{mechanism}: {failure.because}")
            return failure.reply
        except TransientFailure as failure:
            return self._journal.refused(session, "auth", failure.reply, because=failure.because)

    async def _verify(self, session: Session, mechanism: str, credentials: Credentials) -> SmtpReply:
        """Ask domains whether the password is right."""
        client = session.client
        question = AuthenticateQuestion(
            session.id,
            client.address,
            mechanism,
            credentials.username,
            credentials.password,
            client.listener,
            client.kind,
            self._directory.revision,
        )
        guess = (credentials.username, credentials.password)

        def wrong(answer: AuthenticateAnswer) -> Guess | None:
            return None if answer.accepted and answer.login else guess

        answer = await self._attempt(session, AUTHENTICATE, question, wrong)
        if answer is None:
            return await self._too_often(session, mechanism, credentials.username)
        if wrong(answer):
            return await self._wrong(session, mechanism, credentials.username, answer.because)
        return _logged_in(session, answer.login, answer.credential)

    async def _relay(self, session: Session, mechanism: str, initial: bytes | None, converse: Converse) -> SmtpReply:
        """Carry the octets of a mechanism until domains says how it has ended."""
        exchange = RelayedExchange(session, mechanism, self._directory.revision)
        exchange.begin(initial)
        while True:
            answer = await self._attempt(session, exchange.subject, exchange.question, _wrong_step)
            if answer is None:
                return await self._too_often(session, mechanism, "")
            if answer.outcome is SaslOutcome.MALFORMED:
                raise PermanentFailure(replies.AUTH_BAD_RESPONSE, because=answer.because)
            if answer.outcome is SaslOutcome.ACCEPTED and answer.login:
                return _logged_in(session, answer.login, answer.credential)
            if answer.outcome is not SaslOutcome.CHALLENGE:
                return await self._wrong(session, mechanism, answer.username, answer.because)
            exchange.octets.append(await _response(exchange.challenge(answer), converse))

    async def _attempt(
        self,
        session: Session,
        subject: Subject[Question, Answer],
        question: Question,
        wrong: Callable[[Answer], Guess | None],
    ) -> Answer | None:
        """Ask domains; None when the client's network has failed too often. Raises TransientFailure.

        `wrong` tells of an answer which guess it says has failed, if it does.
        """
        if session.client.relay_permitted:  # many users of a webmail have one address
            return await self._ask(subject, question)
        attempt = await self._failures.attempt(network_of(session.client.address))
        if attempt is None:
            return None
        with attempt:
            answer = await self._ask(subject, question)
            guess = wrong(answer)
            if guess is not None and attempt.fail(*guess):
                self._note_offence(session)
        return answer

    async def _ask(self, subject: Subject[Question, Answer], question: Question) -> Answer:
        try:
            return await self._bus.ask(subject, question)
        except NoAnswer as error:
            raise TransientFailure(replies.AUTH_TRY_LATER, because=str(error)) from error

    async def _wrong(self, session: Session, mechanism: str, username: str, because: str) -> SmtpReply:
        return await self._failed(session, replies.AUTH_INVALID, f"{mechanism}: {because or WRONG}", username)

    async def _too_often(self, session: Session, mechanism: str, username: str) -> SmtpReply:
        return await self._failed(session, replies.AUTH_NOT_NOW, f"{mechanism}: {TOO_OFTEN}", username)

    async def _failed(self, session: Session, reply: SmtpReply, because: str, tried_login: str = "") -> SmtpReply:
        """Every failed authentication comes by here, whatever the mechanism and the reason.

        The user name goes into the trace, and not into the log: what is typed into the wrong field may be a password.
        """
        tried_login = printable(tried_login)[:100]
        session.auth_failures += 1
        is_last = session.auth_failures >= session.limits.auth_failures_per_session
        if is_last:
            reply = replies.TOO_MANY_AUTH_FAILURES
        reply = self._journal.refused(session, "auth", reply, because=because, tried_login=tried_login)
        await self._pause(session.limits.auth_failure_delay_seconds * session.auth_failures)
        return reply


def _logged_in(session: Session, login: str, credential: str) -> SmtpReply:
    session.learn(login=login)
    session.credential = credential
    return replies.AUTHENTICATED


def _wrong_step(answer: SaslAnswer) -> Guess | None:
    """Count each refusal: from a proof one cannot tell whether it is of the same wrong password as the one before."""
    return (answer.username, secrets.token_hex(8)) if answer.outcome is SaslOutcome.REFUSED else None


def _not_now(session: Session) -> SmtpReply | None:
    client = session.client
    if client.kind is not ListenerKind.SUBMISSION or not client.esmtp:
        return replies.NOT_IMPLEMENTED
    if not client.tls:
        return replies.AUTH_NEEDS_TLS
    return replies.AUTH_DONE if client.login else None


def _initial_response(given: str) -> bytes | None:
    """Decode it; `=` is the empty one (RFC 4954 §4), None when there is none."""
    return None if not given else b"" if given == "=" else decoded(given)


async def _response(challenge: SmtpReply, converse: Converse) -> bytes:
    """Give the client's answer; `*` cancels (RFC 4954 §4)."""
    response = await converse(challenge)
    if response == "*":
        raise PermanentFailure(replies.AUTH_CANCELLED, because="cancelled by the client")
    return decoded(response)


async def _exchange(exchange: Exchange, initial: bytes | None, converse: Converse) -> Credentials:
    """Run an exchange of ours to its credentials."""
    step = exchange.begin(initial)
    while isinstance(step, SmtpReply):
        step = exchange.answer(await _response(step, converse))
    return step
