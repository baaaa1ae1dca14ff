"""Tells senders of failures: composes the DSN and spools it like any other message."""

import secrets
from collections.abc import Sequence
from typing import Final

import structlog

from tripost_domains.bounce.dsn import SUBJECT, FailedRecipient, Report, compose
from tripost_domains.bounce.policy import wants_failure_notice, why_no_bounce
from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.facts import accepted_bounce_fact, bounced_fact
from tripost_domains.delivery.metrics import BOUNCES
from tripost_domains.delivery.outcome import Attempted
from tripost_domains.delivery.patience import until_done
from tripost_shared.clock import Clock
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.client import Client, ListenerKind
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.header import split_message
from tripost_shared.mail.identifier import message_id_of, new_session_id
from tripost_shared.spool.port import EventLog, Spool, SpoolFull, SpoolUnavailable

log = structlog.get_logger()

OURSELVES: Final = Client(address="127.0.0.1", listener="bounce", kind=ListenerKind.INTERNAL)


class Bouncer:
    """Sends one DSN for all recipients of a message that failed in one go."""

    def __init__(self, spool: Spool, contents: Contents, events: EventLog, hostname: str, clock: Clock) -> None:
        self._spool = spool
        self._contents = contents
        self._events = events
        self._hostname = hostname
        self._clock = clock

    async def bounce(self, message: SpooledMessage, failures: Sequence[Attempted]) -> str:
        """Spool the DSN, waiting for the spool as long as it takes; gives "" or why nobody was told."""
        because = why_no_bounce(message, [failure.recipient for failure in failures])
        if because:
            log.warning("failure not reported", message_id=message.id, because=because)
            return because
        told = [failure for failure in failures if wants_failure_notice(failure.recipient)]
        bounce = await self._composed(message, told)
        await until_done(lambda: self._spool.publish(bounce), (SpoolFull, SpoolUnavailable), "spool a bounce")
        BOUNCES.inc()
        self._events.record(accepted_bounce_fact(message.id, bounce, SUBJECT))
        self._events.record(bounced_fact(message.id, bounce, told))
        log.info("bounce spooled", message_id=message.id, bounce_id=bounce.id, recipients=len(told))
        return ""

    async def _composed(self, message: SpooledMessage, failures: Sequence[Attempted]) -> SpooledMessage:
        now = self._clock.now()
        bounce_id = message_id_of(new_session_id(now), 1)
        header, _ = split_message(await self._contents.header(message.content))
        sender = message.envelope.reverse_path
        report = Report(
            message_id=message.id,
            reporting_mta=self._hostname,
            sender=sender,
            arrived_at=message.received_at,
            composed_at=now,
            envid=message.envelope.envid,
            header=message.header_fields + header,
            failures=[
                FailedRecipient(
                    failure.recipient.address,
                    failure.recipient.original,
                    failure.outcome.reply,
                    failure.outcome.remote_mta,
                    now,
                )
                for failure in failures
            ],
        )
        octets = compose(report, bounce_id, f"report-{secrets.token_hex(16)}")
        return SpooledMessage(
            id=bounce_id,
            received_at=now,
            direction=Direction.BOUNCE,
            client=OURSELVES,
            envelope=Envelope("", (Recipient(sender),), smtputf8=not sender.isascii()),
            content=Content.of(octets),
        )
