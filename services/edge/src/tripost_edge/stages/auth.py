"""AUTH: the client proves who it is (RFC 4954); domains answers, edge holds no secrets."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

from tripost_edge.firewall.networks import network_of
from tripost_edge.limits.login_failures import Attempt, LoginFailures
from tripost_edge.ports import Bus, NoAnswer
from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_edge.stages.journal import Journal
from tripost_edge.stages.sasl import MECHANISMS, Credentials, Exchange, decoded
from tripost_shared.contracts.domains import AUTHENTICATE, AuthenticateQuestion
from tripost_shared.mail.client import ListenerKind
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.header import printable
from tripost_shared.mail.reply import SmtpReply

Converse = Callable[[SmtpReply], Awaitable[str]]
"""Send a challenge, give the client's next line."""


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
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._failures = failures
        self._pause = pause

    async def take(self, session: Session, argument: str, converse: Converse) -> SmtpReply:
        """Answer AUTH; `converse` carries the challenges. Raises what `converse` raises."""
        refusal = _not_now(session)
        if refusal is not None:
            return refusal
        name, _, initial = argument.partition(" ")
        mechanism = MECHANISMS.get(name.upper())
        if mechanism is None:
            return replies.AUTH_UNKNOWN_MECHANISM if name else replies.ARGUMENT_NEEDED
        try:
            credentials = await _exchange(mechanism(), initial.strip(" \t"), converse)
        except PermanentFailure as failure:
            if failure.reply.code == replies.AUTH_INVALID.code:
                return await self._failed(session, replies.AUTH_INVALID, f"{name.upper()}: {failure.because}")
            return failure.reply
        return await self._verify(session, name.upper(), credentials)

    async def _verify(self, session: Session, mechanism: str, credentials: Credentials) -> SmtpReply:
        question = AuthenticateQuestion(
            session.id, session.client.address, mechanism, credentials.username, credentials.password
        )
        tried = printable(credentials.username)[:100]
        named = f"{mechanism} as {tried!r}"
        attempt: Attempt | None = None
        if not session.client.relay_permitted:  # many users of a webmail have one address
            attempt = await self._failures.attempt(network_of(session.client.address))
            if attempt is None:
                return await self._failed(
                    session, replies.AUTH_NOT_NOW, f"{named}: too many failures of this network", tried
                )
        with attempt or nullcontext():
            try:
                answer = await self._bus.ask(AUTHENTICATE, question)
            except NoAnswer as error:
                return self._journal.refused(session, "auth", replies.AUTH_TRY_LATER, because=str(error))
            is_right = answer.accepted and answer.login
            if attempt is not None and not is_right:
                attempt.fail(credentials.username, credentials.password)
        if not is_right:
            return await self._failed(session, replies.AUTH_INVALID, f"{named}: wrong user name or password", tried)
        session.learn(login=answer.login)
        session.credential = answer.credential
        return replies.AUTHENTICATED

    async def _failed(self, session: Session, reply: SmtpReply, because: str, tried_login: str = "") -> SmtpReply:
        session.auth_failures += 1
        is_last = session.auth_failures >= session.limits.auth_failures_per_session
        if is_last:
            reply = replies.TOO_MANY_AUTH_FAILURES
        reply = self._journal.refused(session, "auth", reply, because=because, tried_login=tried_login)
        await self._pause(session.limits.auth_failure_delay_seconds * session.auth_failures)
        return reply


def _not_now(session: Session) -> SmtpReply | None:
    client = session.client
    if client.kind is not ListenerKind.SUBMISSION or not client.esmtp:
        return replies.NOT_IMPLEMENTED
    if not client.tls:
        return replies.AUTH_NEEDS_TLS
    return replies.AUTH_DONE if client.login else None


async def _exchange(exchange: Exchange, initial: str, converse: Converse) -> Credentials:
    """Run the exchange to its credentials; `=` is the empty initial response, `*` cancels (RFC 4954 §4)."""
    step = exchange.begin(None if not initial else b"" if initial == "=" else decoded(initial))
    while isinstance(step, SmtpReply):
        response = await converse(step)
        if response == "*":
            raise PermanentFailure(replies.AUTH_CANCELLED, because="cancelled by the client")
        step = exchange.answer(decoded(response))
    return step
