"""The relay agent: passes a message on to a next hop, host by host until one answers for every recipient."""

import ssl
from collections.abc import Sequence
from typing import Final

import structlog

from tripost_domains.delivery.outcome import Outcome, Result, Trial, deferred, failed
from tripost_domains.delivery.plan import hop_name
from tripost_domains.delivery.relay.classify import HostFailure
from tripost_domains.delivery.relay.finder import HostFinder, NoHost
from tripost_domains.delivery.relay.gate import Gate, NoRoom
from tripost_domains.delivery.relay.host import Host
from tripost_domains.delivery.relay.memory import HostMemory
from tripost_domains.delivery.relay.pool import Key, SessionPool
from tripost_domains.delivery.relay.sending import NEEDS_SMTPUTF8, Sending, is_safe_path
from tripost_domains.delivery.relay.session import BrokenTls, Patience, SmtpSession
from tripost_domains.directory.model import NextHop
from tripost_shared.content.port import ContentMissing, ContentStore, ContentUnavailable
from tripost_shared.contracts.spool import SpooledMessage

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
        self, message: SpooledMessage, hop: NextHop, recipients: Sequence[str], trial: Trial
    ) -> dict[str, Outcome]:
        """Send the message to these recipients, as few transactions as may be; gives an outcome for each."""
        outcomes = {
            recipient: failed("5.1.3", "Address cannot be sent")
            for recipient in recipients
            if not is_safe_path(recipient)
        }
        left = [recipient for recipient in recipients if recipient not in outcomes]
        if not is_safe_path(message.envelope.reverse_path):
            return outcomes | dict.fromkeys(left, failed("5.1.7", "Reverse-path cannot be sent"))
        sending = Sending(message, self._content)
        for start in range(0, len(left), MAX_RECIPIENTS):
            batch = left[start : start + MAX_RECIPIENTS]
            try:
                async with self._gate.enter(hop):
                    outcomes |= await self._relay_batch(sending, hop, batch, trial)
            except NoRoom as error:
                reply = deferred("4.4.5", f"{hop_name(hop)} is busy", detail=str(error)).reply
                outcomes |= dict.fromkeys(batch, Outcome(Result.DEFERRED, reply, detail=str(error), was_tried=False))
        return outcomes

    async def _relay_batch(
        self, sending: Sending, hop: NextHop, recipients: Sequence[str], trial: Trial
    ) -> dict[str, Outcome]:
        try:
            hosts = await self._finder.find(hop)
        except NoHost as error:
            return dict.fromkeys(recipients, error.outcome)
        outcomes: dict[str, Outcome] = {}
        left = list(recipients)
        failures: list[Outcome] = []
        for host in hosts:
            known = self._memory.failure_of(host, trial.began_at)
            if known is not None:
                failures.append(known)
                continue
            try:
                return outcomes | await self._try_host(sending, host, hop.tls, left)
            except HostFailure as error:
                log.info("next hop failed", message_id=sending.message.id, host=str(host), because=str(error))
                outcomes |= error.decided
                failures.append(error.outcome)
                left = [recipient for recipient in left if recipient not in error.decided]
            except (ContentMissing, ContentUnavailable) as error:
                trouble = deferred("4.3.0", "Content cannot be read now", str(host), f"{type(error).__name__}: {error}")
                return outcomes | dict.fromkeys(left, trouble)
        return outcomes | dict.fromkeys(left, _in_doubt(failures))

    async def _try_host(self, sending: Sending, host: Host, tls: str, recipients: list[str]) -> dict[str, Outcome]:
        """Send over an open session or a new one; raises HostFailure."""
        key = Key(host, tls)
        session = self._pool.take(key)
        if session is not None:
            outcomes = await self._transact_again(sending, session, key, recipients)
            if outcomes is not None:
                return outcomes
        try:
            session = await self._open(host, tls)
        except HostFailure as error:
            self._memory.note_failure(host, error.outcome)
            raise
        self._memory.note_success(host)
        return await self._transact(sending, session, key, recipients)

    async def _open(self, host: Host, tls: str) -> SmtpSession:
        if tls == "may" and self._memory.has_broken_tls(host):
            tls = "none"
        try:
            return await SmtpSession.open(host, self._hello_name, self._patience, tls, self._context)
        except BrokenTls as error:
            log.warning("next hop's TLS is broken, sending in plain text", host=str(host), because=str(error))
            self._memory.note_broken_tls(host)
            return await SmtpSession.open(host, self._hello_name, self._patience, "none", self._context)

    async def _transact_again(
        self, sending: Sending, session: SmtpSession, key: Key, recipients: list[str]
    ) -> dict[str, Outcome] | None:
        """Use a session that was left open; None when it was gone and nothing has been said about the message."""
        try:
            outcomes = await self._transact(sending, session, key, recipients)
        except HostFailure as error:
            if error.decided:
                raise
            return None
        is_closing = all(outcome.reply.code == 421 for outcome in outcomes.values())
        return None if is_closing else outcomes

    async def _transact(
        self, sending: Sending, session: SmtpSession, key: Key, recipients: list[str]
    ) -> dict[str, Outcome]:
        try:
            refusal = await sending.refusal(session.capabilities, session.host)
            if refusal is not None:
                return dict.fromkeys(recipients, refusal)
            outcomes: dict[str, Outcome] = {}
            if "SMTPUTF8" not in session.capabilities:
                unnamed = Outcome(Result.FAILED, NEEDS_SMTPUTF8, str(session.host))
                outcomes = {recipient: unnamed for recipient in recipients if not recipient.isascii()}
            named = [recipient for recipient in recipients if recipient not in outcomes]
            return outcomes | (await session.transact(sending, named) if named else {})
        except BaseException:
            session.close()
            raise
        finally:
            self._pool.give_back(key, session)


def _in_doubt(failures: Sequence[Outcome]) -> Outcome:
    """Choose among what the hosts said: only if all say "never" does the message fail."""
    return next((outcome for outcome in reversed(failures) if outcome.result is Result.DEFERRED), failures[-1])


def opportunistic_context() -> ssl.SSLContext:
    """Make the TLS context for next hops: encrypted, and the host not verified, since its name came by plain DNS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
