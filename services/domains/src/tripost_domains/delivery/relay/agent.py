"""The relay agent: passes a message on to a next hop, host by host until one answers for every recipient."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

import structlog

from tripost_domains.delivery.outcome import Outcome, Result, Trial, deferred, failed
from tripost_domains.delivery.plan import hop_name
from tripost_domains.delivery.relay.attempt import Attempt
from tripost_domains.delivery.relay.classify import HostFailure
from tripost_domains.delivery.relay.finder import HostFinder, NoHost
from tripost_domains.delivery.relay.gate import Gate, NoRoom
from tripost_domains.delivery.relay.host import Way
from tripost_domains.delivery.relay.memory import HostMemory
from tripost_domains.delivery.relay.opening import FALLBACK, BrokenTls, open_session
from tripost_domains.delivery.relay.pool import SessionPool
from tripost_domains.delivery.relay.sending import NEEDS_SMTPUTF8, Sending, is_safe_path
from tripost_domains.delivery.relay.session import Patience, SmtpSession
from tripost_domains.delivery.unread import content_unread
from tripost_domains.directory.model import NextHop
from tripost_shared.content.port import ContentMissing, ContentStore, ContentUnavailable
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.envelope import Recipient

log = structlog.get_logger()

MAX_RECIPIENTS: Final = 100  # of one transaction: what every host must take (RFC 5321 §4.5.3.1.8)


class RelayAgent:
    """Relay to next hops."""

    def __init__(
        self,
        finder: HostFinder,
        memory: HostMemory,
        pool: SessionPool,
        gate: Gate,
        content: ContentStore,
        hello_name: str,
        patience: Patience,
    ) -> None:
        self._finder = finder
        self._memory = memory
        self._pool = pool
        self._gate = gate
        self._content = content
        self._hello_name = hello_name
        self._patience = patience
        self._context = opportunistic_context()

    async def relay(
        self,
        message: SpooledMessage,
        hop: NextHop,
        recipients: Sequence[Recipient],
        trial: Trial,
        outcomes: dict[str, Outcome],
    ) -> None:
        """Send the message to these recipients, as few transactions as may be; `outcomes` gets one for each.

        All of it up to the last final dot takes `trial.within` at most. What was decided before a cancellation is in
        `outcomes` too: what was sent must not be sent again.
        """
        addresses = [recipient.address for recipient in recipients]
        unsafe = [address for address in addresses if not is_safe_path(address)]
        outcomes |= dict.fromkeys(unsafe, failed("5.1.3", "Address cannot be sent"))
        left = [address for address in addresses if address not in outcomes]
        if not is_safe_path(message.envelope.reverse_path):
            outcomes |= dict.fromkeys(left, failed("5.1.7", "Reverse-path cannot be sent"))
            return
        deadline = None
        if trial.within is not None:
            deadline = asyncio.get_running_loop().time() + trial.within.total_seconds()
        parts = [
            Attempt(left[start : start + MAX_RECIPIENTS], deadline) for start in range(0, len(left), MAX_RECIPIENTS)
        ]
        try:
            await self._attempt_all(Sending(message, recipients, self._content), hop, parts, trial)
        finally:
            for part in parts:
                outcomes |= part.decided

    async def _attempt_all(self, sending: Sending, hop: NextHop, parts: Sequence[Attempt], trial: Trial) -> None:
        """Attempt one part after the other, all in one turn, so that none meets a crowd that its own message is of."""
        if not parts:
            return
        try:
            async with AsyncExitStack() as turn:
                async with parts[0].limit_of_wait():
                    await turn.enter_async_context(self._gate.enter(hop))
                for part in parts:
                    if part.is_too_late:
                        part.settle(_put_off(hop, "the message's other recipients took all the time"))
                    else:
                        await self._attempt(sending, hop, part, trial)
        except (NoRoom, TimeoutError) as error:
            for part in parts:
                part.settle(_put_off(hop, str(error) or "no turn in time"))

    async def _attempt(self, sending: Sending, hop: NextHop, attempt: Attempt, trial: Trial) -> None:
        """Decide about all recipients, whatever breaks: what was sent to some must not be lost by what others meet."""
        try:
            async with attempt.limit:
                await self._try_hosts(sending, hop, attempt, trial)
        except Exception as error:
            if isinstance(error, TimeoutError) and attempt.limit.expired():
                text = f"{hop_name(hop)} timed out before the message was handed over"
                attempt.settle(deferred("4.4.1", text))
                return
            log.exception("relay broke", message_id=sending.message.id, next_hop=hop_name(hop))
            attempt.settle(deferred("4.3.0", "Temporary failure", detail=type(error).__name__))

    async def _try_hosts(self, sending: Sending, hop: NextHop, attempt: Attempt, trial: Trial) -> None:
        try:
            hosts = await self._finder.find(hop)
        except NoHost as error:
            attempt.settle(error.outcome)
            return
        said: list[Outcome] = []
        for host in hosts:
            wish = Way(host, hop.tls)
            known = self._memory.failure_of(wish, trial.began_at)
            if known is not None:
                said.append(known)
                continue
            try:
                await self._try_host(sending, wish, attempt)
            except HostFailure as error:
                log.info("next hop failed", message_id=sending.message.id, host=str(host), because=str(error))
                said.append(error.outcome)
            except (ContentMissing, ContentUnavailable) as error:
                attempt.decide_rest(content_unread(sending.message.id, error, str(host)))
            if attempt.put_off:
                log.info("next hop put recipients off", message_id=sending.message.id, host=str(host))
                said += attempt.put_off.values()
            if not attempt.leave_host():
                break
        if attempt.left:
            attempt.settle(_in_doubt(said))

    async def _try_host(self, sending: Sending, wish: Way, attempt: Attempt) -> None:
        """Send over an open session or a new one; each recipient is decided or put off. Raises HostFailure."""
        fallback = Way(wish.host, FALLBACK)
        way = fallback if wish.tls == "may" and self._memory.has_broken_tls(wish.host) else wish
        session = self._pool.take(way)
        if session is not None and not await self._is_gone(sending, session, way, attempt):
            return
        try:
            session = await self._open(way)
        except HostFailure as error:
            self._memory.note_failure(wish, error.outcome)
            raise
        self._memory.note_success(wish)
        # One that fell back serves other messages for as long only as TLS is known not to work.
        await self._transact(sending, session, fallback if session.fell_back else way, attempt)

    async def _open(self, way: Way) -> SmtpSession:
        """Open a session, with "may" in plain text if need be; raises HostFailure."""
        try:
            session = await self._open_as(way)
        except BrokenTls as error:
            log.warning("next hop's TLS is broken, sending in plain text", host=str(way.host), because=str(error))
            session = await self._open_as(Way(way.host, FALLBACK))
        if session.fell_back and way.tls != FALLBACK:
            self._memory.note_broken_tls(way.host)
        return session

    async def _open_as(self, way: Way) -> SmtpSession:
        """Open a session; a handshake that was cut is tried once more. Raises HostFailure and BrokenTls."""
        try:
            return await open_session(way, self._hello_name, self._patience, self._context)
        except BrokenTls as error:
            if not error.was_cut:
                raise
            log.info("next hop's handshake was cut, trying again", host=str(way.host), because=str(error))
            return await open_session(way, self._hello_name, self._patience, self._context)

    async def _is_gone(self, sending: Sending, session: SmtpSession, way: Way, attempt: Attempt) -> bool:
        """Use a session that was left open; tells whether it was gone, and nothing was said about the message."""
        before = dict(attempt.decided)
        try:
            await self._transact(sending, session, way, attempt)
        except HostFailure:
            if any(outcome.remote_mta for recipient, outcome in attempt.said.items() if recipient not in before):
                raise
            return True
        if any(outcome.reply.code != 421 for recipient, outcome in attempt.said.items() if recipient not in before):
            return False
        attempt.take_back(before)
        return True

    async def _transact(self, sending: Sending, session: SmtpSession, way: Way, attempt: Attempt) -> None:
        """Send over this session; raises HostFailure, ContentMissing or ContentUnavailable."""
        try:
            refusal = await sending.refusal(session.capabilities, session.host)
            if refusal is not None:
                attempt.settle(refusal)
                return
            if "SMTPUTF8" not in session.capabilities:
                unnamed = [recipient for recipient in attempt.left if not recipient.isascii()]
                attempt.settle(Outcome(Result.FAILED, NEEDS_SMTPUTF8, str(session.host)), unnamed)
            if attempt.left:
                await session.transact(sending, attempt)
        except BaseException:
            if session.is_in_doubt:
                log.warning(
                    "stopped before the reply to the content: the next attempt may duplicate the message",
                    message_id=sending.message.id,
                    host=str(session.host),
                    recipients=attempt.left,
                )
            session.close()
            raise
        finally:
            if session.may_want_tls:
                self._memory.forget_broken_tls(session.host)
            self._pool.give_back(way, session)


def _put_off(hop: NextHop, because: str) -> Outcome:
    """Say that nothing was tried, which does not count as an attempt."""
    return replace(deferred("4.4.5", f"{hop_name(hop)} is busy", detail=because), was_tried=False)


def _in_doubt(said: Sequence[Outcome]) -> Outcome:
    """Choose among what the hosts said: only if all say "never" does the message fail."""
    return next((outcome for outcome in reversed(said) if outcome.result is Result.DEFERRED), said[-1])


def opportunistic_context() -> ssl.SSLContext:
    """Make the TLS context for next hops: encrypted, and the host not verified, since its name came by plain DNS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
