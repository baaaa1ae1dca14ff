"""DATA: the message has come; the filter judges it, the spool takes it (RFC 5321 §4.1.1.4, §6.1).

250 is said only once the spool has the message on disk. Whatever goes wrong before is a 4yz, and the client keeps it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from tripost_edge import metrics
from tripost_edge.ports import (
    Bus,
    Clock,
    ContentStore,
    ContentUnavailable,
    MessageTooLarge,
    NoAnswer,
    QuestionTooLarge,
    Spool,
    SpoolFull,
    SpoolUnavailable,
    aborted_on_failure,
)
from tripost_edge.session import replies
from tripost_edge.session.header_inspection import inspect_header
from tripost_edge.session.received import received_field
from tripost_edge.session.session import Session, Transaction
from tripost_edge.stages.authors import Authors
from tripost_edge.stages.control import Control, RuledOut
from tripost_edge.stages.journal import Journal, direction_of
from tripost_edge.stages.reception import ContentLimits, Decoder, Reception
from tripost_edge.stages.rights import Rights
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import MESSAGE, Action, MessageQuestion, Verdict
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.edge_limits import SessionLimits
from tripost_shared.mail.client import ListenerKind
from tripost_shared.mail.content import Content
from tripost_shared.mail.failures import MailFailure, PermanentFailure, TransientFailure
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

NOTHING_YET: Final = Content(size_octets=0)


class Data:
    """Takes messages in and answers for them."""

    def __init__(
        self,
        bus: Bus,
        rights: Rights,
        control: Control,
        authors: Authors,
        spool: Spool,
        store: ContentStore,
        journal: Journal,
        clock: Clock,
        *,
        hostname: str,
        inline_octets: int,
    ) -> None:
        self._bus = bus
        self._rights = rights
        self._control = control
        self._authors = authors
        self._spool = spool
        self._store = store
        self._journal = journal
        self._clock = clock
        self._hostname = hostname
        self._inline_octets = inline_octets

    def most_octets(self, session: Session) -> int:
        """Give how much may arrive of one message before its client is cut off."""
        return 2 * session.limits.size_limit_octets

    async def begin(self, session: Session) -> SmtpReply:
        """Answer DATA: the client may send the content, unless its login has lost the right to since MAIL."""
        try:
            await self._rights.check(session, _transaction_of(session).reverse_path)
        except MailFailure as failure:
            return self._journal.refused(session, "data", failure.reply, because=failure.because)
        return replies.SEND_CONTENT

    def receive(self, session: Session, decoder: Decoder | None = None) -> Reception:
        """Begin to take the content of the transaction at hand."""
        client = session.client
        inspect = partial(
            inspect_header,
            authserv_id=self._hostname,
            is_submitted=client.kind is ListenerKind.SUBMISSION,
            may_mark=client.relay_permitted,
        )
        return Reception(session.subject_id, self._store, self._content_limits(session.limits), inspect, decoder)

    def _content_limits(self, limits: SessionLimits) -> ContentLimits:
        return ContentLimits(
            size_octets=limits.size_limit_octets,
            inline_octets=self._inline_octets,
            header_octets=limits.header_limit_octets,
            received_fields=limits.received_limit,
            own_received_fields=limits.own_received_limit,
        )

    async def conclude(
        self, session: Session, reception: Reception, *, is_client_there: Callable[[], bool]
    ) -> SmtpReply:
        """Answer the end of the content; the transaction is over then.

        A client that has gone before the spool was asked will send its message again, so it is not spooled.
        """
        transaction = _transaction_of(session)
        message = _Message(session, transaction)
        try:
            message.content = await reception.finish()
            transaction.eight_bit = reception.is_eight_bit
            message.subject = reception.subject
            message.added = self._control.at_content(session, transaction, message.content.size_octets)
            message.from_fields = reception.from_fields
            reply = await self._take(message, is_client_there)
        except MailFailure as failure:
            # What the spool did not acknowledge may still be in it, and then needs its content.
            if not isinstance(failure.__cause__, SpoolUnavailable):
                await self._delete(message.content)
            reply = self._journal.refused_message(
                session,
                transaction,
                failure.reply,
                because=failure.because,
                size_octets=reception.size_octets,
                subject=reception.subject,
                verdict=message.verdict,
                rule=failure.rule if isinstance(failure, RuledOut) else "",
            )
        finally:
            await reception.abandon()
            session.transaction = None
        return reply

    async def _take(self, message: "_Message", is_client_there: Callable[[], bool]) -> SmtpReply:
        """Judge and accept. What is too large with its envelope (many recipients) goes by reference instead."""
        try:
            return await self._answer(message, is_client_there)
        except (QuestionTooLarge, MessageTooLarge) as error:
            if message.content.inline is None:
                raise PermanentFailure(replies.ENVELOPE_TOO_BIG, because=str(error)) from error
            message.content = await self._stored(message)
        try:
            return await self._answer(message, is_client_there)
        except (QuestionTooLarge, MessageTooLarge) as error:
            raise PermanentFailure(replies.ENVELOPE_TOO_BIG, because=str(error)) from error

    async def _answer(self, message: "_Message", is_client_there: Callable[[], bool]) -> SmtpReply:
        message.verdict = verdict = await self._judge(message)
        if not verdict.action.refuses:  # content may take an hour, and a login be over by its end
            await self._rights.check(message.session, message.transaction.reverse_path)
            await self._authors.check(message.session, message.from_fields)
        if not is_client_there():
            raise TransientFailure(because="client went away before it could be answered")
        if verdict.action.refuses:
            because = f"verdict {verdict.action.value} {verdict.rule}".strip()
            raise MailFailure(replies.of_verdict(verdict), because=because)
        fact = Fact.DISCARDED if verdict.action is Action.DISCARD else Fact.ACCEPTED
        if fact is Fact.ACCEPTED:
            await self._spool_message(message, verdict)
        else:
            await self._delete(message.content)
        reply = replies.accepted_as(message.transaction.id)
        self._journal.accepted(
            message.session,
            message.transaction,
            fact,
            reply,
            verdict,
            size_octets=message.content.size_octets,
            subject=message.subject,
        )
        return reply

    async def _judge(self, message: "_Message") -> Verdict:
        transaction = message.transaction
        question = MessageQuestion(
            transaction.id,
            message.session.client,
            transaction.envelope(),
            message.content,
            tuple(transaction.findings),
        )
        started = self._clock.monotonic()
        try:
            return await self._bus.ask(MESSAGE, question)
        except QuestionTooLarge:
            raise
        except NoAnswer as error:
            raise TransientFailure(because=str(error)) from error
        finally:
            metrics.seconds["message"].observe(self._clock.monotonic() - started)

    async def _spool_message(self, message: "_Message", verdict: Verdict) -> None:
        session, transaction = message.session, message.transaction
        now = self._clock.now()
        envelope = transaction.envelope()
        received = received_field(
            session.client,
            envelope,
            transaction.id,
            now,
            hostname=self._hostname,
            findings=transaction.findings,
        )
        spooled = SpooledMessage(
            transaction.id,
            now,
            direction_of(session),
            session.client,
            envelope,
            message.content,
            received + verdict.header_fields + message.added,
            verdict,
            sender_is_doubtful=not session.client.is_trusted and _is_doubtful(transaction),
        )
        started = self._clock.monotonic()
        try:
            await self._spool.publish(spooled)
        except SpoolFull as error:
            raise TransientFailure(replies.SPOOL_FULL, because=f"spool full: {error}") from error
        except SpoolUnavailable as error:
            raise TransientFailure(because=f"spool: {error}") from error
        finally:
            metrics.seconds["spool"].observe(self._clock.monotonic() - started)

    async def _stored(self, message: "_Message") -> Content:
        writer = self._store.writer(message.transaction.id)
        try:
            async with aborted_on_failure(writer):
                await writer.write(message.content.inline or b"")
                return await writer.commit()
        except ContentUnavailable as error:
            raise TransientFailure(because=f"content store: {error}") from error

    async def _delete(self, content: Content) -> None:
        if not content.stored:
            return
        try:
            await self._store.delete(content.stored)
        except ContentUnavailable as error:
            log.warning("content left behind", name=content.stored, because=str(error))


@dataclass(slots=True)
class _Message:
    """A message that is being answered for; `content` is NOTHING_YET until all of it is there."""

    session: Session
    transaction: Transaction
    content: Content = NOTHING_YET
    subject: str = ""
    from_fields: tuple[bytes, ...] = ()
    verdict: Verdict | None = None
    added: bytes = b""  # header fields that rules want


def _is_doubtful(transaction: Transaction) -> bool:
    """Tell whether SPF says that the client has no right to the reverse-path, or hardly any (RFC 7208 §2.6)."""
    return any(each.check == "spf" and each.result in {"fail", "softfail"} for each in transaction.findings)


def _transaction_of(session: Session) -> Transaction:
    if session.transaction is None:
        raise RuntimeError("content without a transaction")
    return session.transaction
