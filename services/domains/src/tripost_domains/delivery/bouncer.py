"""Tells senders of failures, delays and successes: composes the DSN and spools it like any other message.

A DSN's id follows from the message, the recipients and their attempts, so the same DSN composed again after a crash is
the same message. SPOOL keeps one of two that come soon after each other; the fact BOUNCED tells of one long ago, and
where that was not told, since SPOOL could not say that it had the DSN, the DSN's own facts do, or its row in the queue.

A spool without room is not waited for: what fills it may be the very messages whose failures are to be told, and it is
trimmed only once they are acknowledged.
"""

import asyncio
import secrets
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import msgspec
import structlog

from tripost_domains.bounce.dsn import SUBJECTS, compose
from tripost_domains.bounce.policy import wants_failure_notice, why_no_bounce
from tripost_domains.bounce.report import Action, Notice, Report, ReportedRecipient
from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.facts import accepted_bounce_fact, told_fact
from tripost_domains.delivery.metrics import BOUNCES
from tripost_domains.delivery.outcome import Attempted, Result
from tripost_domains.delivery.patience import until_done
from tripost_domains.ports import History, TrackingUnavailable
from tripost_domains.queue.repository import QueueRepository
from tripost_domains.queue.settled import settled_recipients
from tripost_shared.clock import Clock
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.address import folded
from tripost_shared.mail.client import Client, ListenerKind
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.header import split_message
from tripost_shared.mail.identifier import derived_session_id, message_id_of
from tripost_shared.spool.port import EventLog, MessageTooLarge, Spool, SpoolFull, SpoolUnavailable

log = structlog.get_logger()

NO_NOTICE: Final = ("NEVER",)  # nobody is told what becomes of a DSN (RFC 3461 §6.1)
NEVER_TRIED_AGAIN: Final[Mapping[str, datetime]] = MappingProxyType({})
OURSELVES: Final = Client(address="127.0.0.1", listener="bounce", kind=ListenerKind.INTERNAL)


SPOOLED_WITHIN: Final = timedelta(minutes=2)
MAX_RETURNED_OCTETS: Final = 256 * 1024  # of a message that goes back as a whole (RET=FULL); of a larger one the header


_ACTIONS: Final = {
    Result.FAILED: Action.FAILED,
    Result.DEFERRED: Action.DELAYED,
    Result.DELIVERED: Action.DELIVERED,
    Result.RELAYED: Action.RELAYED,
    Result.EXPANDED: Action.EXPANDED,
}


class NotSpooled(Exception):
    """SPOOL does not take the DSN now; the text says why. It may be there, if SPOOL only could not say so."""


class Bouncer:
    """Sends one DSN for all recipients of a message that failed in one go."""

    def __init__(
        self,
        spool: Spool,
        contents: Contents,
        queue: QueueRepository,
        history: History,
        events: EventLog,
        hostname: str,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._contents = contents
        self._queue = queue
        self._history = history
        self._events = events
        self._hostname = hostname
        self._clock = clock

    async def bounce(
        self, message: SpooledMessage, failures: Sequence[tuple[Attempted, int]], *, may_be_told: bool
    ) -> str:
        """Spool the DSN; gives "" or why nobody was told. Raises NotSpooled: to be tried again later.

        Each failure comes with the attempts made before it. `may_be_told`: the same may have been spooled before.
        """
        because = why_no_bounce(message, [failure.recipient for failure, _ in failures])
        if because:
            log.warning("failure not reported", message_id=message.id, because=because)
            return because
        wanted = [(failure, made) for failure, made in failures if wants_failure_notice(failure.recipient)]
        told = [failure for failure, _ in wanted]
        await self._tell(message, bounce_id(message.id, wanted), told, Notice.FAILURE, may_be_told=may_be_told)
        return ""

    async def report(
        self,
        message: SpooledMessage,
        notice: Notice,
        told: Sequence[Attempted],
        *,
        may_be_told: bool,
        retry_until: Mapping[str, datetime] = NEVER_TRIED_AGAIN,
    ) -> None:
        """Tell of a success or a delay, if SPOOL takes that now: no mail waits for it, nor comes again for its sake.

        `retry_until` says of recipients when they are given up.
        """
        identifier = notice_id(message.id, notice, told)
        try:
            await self._tell(message, identifier, told, notice, may_be_told=may_be_told, retry_until=retry_until)
        except NotSpooled as error:
            log.warning("report is left out", message_id=message.id, notice=notice.value, because=str(error))

    async def _tell(
        self,
        message: SpooledMessage,
        identifier: str,
        told: Sequence[Attempted],
        notice: Notice,
        *,
        may_be_told: bool,
        retry_until: Mapping[str, datetime] = NEVER_TRIED_AGAIN,
    ) -> None:
        if may_be_told and await self._was_spooled(message.id, identifier):
            log.info("bounce was spooled before", message_id=message.id, bounce_id=identifier)
            return
        bounce = await self._composed(message, identifier, told, notice, retry_until)
        if not may_be_told or not await settled_recipients(self._queue, self._history, identifier):
            bounce = await self._spooled(bounce)  # else SPOOL had it, and could not say so
        BOUNCES.labels(notice.value.lower()).inc()
        self._events.record(accepted_bounce_fact(message.id, bounce, SUBJECTS[notice]))
        self._events.record(told_fact(message.id, bounce, told, notice))
        log.info(
            "bounce spooled", message_id=message.id, bounce_id=bounce.id, notice=notice.value, recipients=len(told)
        )

    async def _was_spooled(self, message_id: str, identifier: str) -> bool:
        past = await until_done(lambda: self._history.past_of(message_id), (TrackingUnavailable,), "read the tracking")
        return identifier in past.bounces

    async def _spooled(self, bounce: SpooledMessage) -> SpooledMessage:
        """Spool it within two minutes, and at once or never when SPOOL is full. Gives it as it was spooled."""
        try:
            async with asyncio.timeout(SPOOLED_WITHIN.total_seconds()):
                return await self._published(bounce)
        except SpoolFull as error:
            raise NotSpooled("the spool is full") from error
        except TimeoutError as error:
            raise NotSpooled("the spool did not answer") from error

    async def _published(self, bounce: SpooledMessage) -> SpooledMessage:
        """Publish it; a report on very many recipients goes by reference."""
        try:
            await self._publish(bounce)
        except MessageTooLarge:
            # a name of its own: an earlier one with the same id may be in SPOOL, and its content must stay as it is
            content = await self._contents.put(f"{bounce.id}-{secrets.token_hex(8)}", bounce.content.inline or b"")
            bounce = msgspec.structs.replace(bounce, content=content)
            await self._publish(bounce)
        return bounce

    async def _publish(self, bounce: SpooledMessage) -> None:
        await until_done(lambda: self._spool.publish(bounce), (SpoolUnavailable,), "spool a bounce")

    async def _composed(
        self,
        message: SpooledMessage,
        identifier: str,
        told: Sequence[Attempted],
        notice: Notice,
        retry_until: Mapping[str, datetime],
    ) -> SpooledMessage:
        now = self._clock.now()
        header, _ = split_message(await self._contents.header(message.content))
        sender = message.envelope.reverse_path
        known = {folded(recipient.address) for recipient in message.envelope.recipients}
        report = Report(
            message_id=message.id,
            reporting_mta=self._hostname,
            sender=sender,
            arrived_at=message.received_at,
            composed_at=now,
            envid=message.envelope.envid,
            header=message.header_fields + header,
            recipients=[_reported(each, known, now, retry_until.get(each.recipient.address)) for each in told],
            notice=notice,
            whole=await self._whole(message, notice),
        )
        octets = compose(report, identifier, f"report-{secrets.token_hex(16)}")
        return SpooledMessage(
            id=identifier,
            received_at=now,
            direction=Direction.BOUNCE,
            client=OURSELVES,
            envelope=Envelope(
                "", (Recipient(sender, NO_NOTICE),), smtputf8=not sender.isascii(), eight_bit=not octets.isascii()
            ),
            content=Content.of(octets),
        )

    async def _whole(self, message: SpooledMessage, notice: Notice) -> bytes | None:
        """Give the message that is to go back as a whole (RFC 3461 §4.3: of failures alone); else None.

        One with an internationalised header would be a `message/global`, which few programs know.
        """
        if message.envelope.ret != "FULL" or notice is not Notice.FAILURE:
            return None
        whole = await self._contents.whole(message, MAX_RETURNED_OCTETS)
        return whole if whole is not None and split_message(whole)[0].isascii() else None


def _reported(
    attempted: Attempted, known: Container[str], now: datetime, retry_until: datetime | None
) -> ReportedRecipient:
    """Take from an attempt what a DSN needs; `known`: whom the sender named, so that no alias need hide them."""
    address, outcome = attempted.recipient.address, attempted.outcome
    return ReportedRecipient(
        address,
        attempted.recipient.original,
        outcome.reply,
        outcome.remote_mta,
        now,
        outcome.last_reply,
        written_to="" if folded(address) in known else attempted.written_to,
        places=(outcome.host, attempted.next_hop),
        action=_ACTIONS[outcome.result],
        retry_until=retry_until,
    )


def notice_id(message_id: str, notice: Notice, told: Sequence[Attempted]) -> str:
    """Give the id of the DSN on these successes or delays, of which there is one for each recipient."""
    distinction = sorted(f"{notice.value} {each.recipient.address}" for each in told)
    return message_id_of(derived_session_id(message_id, distinction), 1)


def bounce_id(message_id: str, failures: Sequence[tuple[Attempted, int]]) -> str:
    """Give the id of the DSN on these failures, each with the attempts made before it."""
    distinction = sorted(f"{failure.recipient.address} {made}" for failure, made in failures)
    return message_id_of(derived_session_id(message_id, distinction), 1)
