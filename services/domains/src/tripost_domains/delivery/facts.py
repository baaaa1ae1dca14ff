"""The events that delivery records; an attempt that is told twice gives the same ids."""

from collections.abc import Collection
from datetime import datetime
from hashlib import blake2b
from typing import Final

from tripost_domains.bounce.report import Notice
from tripost_domains.delivery.outcome import Attempted, Result
from tripost_domains.directory.model import Expansion
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.spool import SpooledMessage

SERVICE: Final = "domains"
MAX_DETAIL: Final = 1000

_FACTS: Final = {
    Result.DELIVERED: Fact.DELIVERED,
    Result.RELAYED: Fact.RELAYED,
    Result.DEFERRED: Fact.DEFERRED,
    Result.FAILED: Fact.FAILED,
}


def attempt_fact(message_id: str, attempted: Attempted, attempt: int, at: datetime) -> Event:
    """Tell how the n-th attempt for a recipient ended, or that it was put off."""
    outcome = attempted.outcome
    fact = _FACTS[outcome.result]
    which = str(attempt) if outcome.was_tried else "put off"
    return Event(
        id=event_id(message_id, attempted.recipient.address, which, fact),
        message_id=message_id,
        at=at,
        fact=fact,
        service=SERVICE,
        stage="delivery" if attempt == 1 else "queue",
        recipient=attempted.recipient.address,
        next_hop=outcome.host or attempted.next_hop,
        reply=str(outcome.reply),
        detail=outcome.detail[:MAX_DETAIL],
    )


def expanded_fact(message_id: str, expansion: Expansion, left_out: str, at: datetime) -> Event:
    """Tell that an address was replaced by others."""
    targets = ", ".join(expansion.targets)
    detail = f"{expansion.kind}: {targets}" + (f" ({left_out})" if left_out else "")
    return Event(
        id=event_id(message_id, expansion.address, targets, Fact.EXPANDED),
        message_id=message_id,
        at=at,
        fact=Fact.EXPANDED,
        service=SERVICE,
        stage="delivery",
        recipient=expansion.address,
        recipients=expansion.targets,
        detail=detail[:MAX_DETAIL],
    )


def held_fact(message_id: str, recipient: str, because: str, at: datetime) -> Event:
    """Tell that a delivery came into the queue as held."""
    return _held(event_id(message_id, recipient, because, Fact.HELD), "delivery", message_id, recipient, because, at)


def unreadable_fact(message_id: str, recipient: str, because: str, at: datetime) -> Event:
    """Tell that a queued delivery is held since its row cannot be read; each time, as an operator may release it."""
    identifier = event_id(message_id, recipient, f"{because} {at.isoformat()}", Fact.HELD)
    return _held(identifier, "queue", message_id, recipient, because, at)


def _held(identifier: str, stage: str, message_id: str, recipient: str, because: str, at: datetime) -> Event:
    return Event(
        id=identifier,
        message_id=message_id,
        at=at,
        fact=Fact.HELD,
        service=SERVICE,
        stage=stage,
        recipient=recipient,
        detail=because[:MAX_DETAIL],
    )


def told_fact(message_id: str, bounce: SpooledMessage, told: Collection[Attempted], notice: Notice) -> Event:
    """Tell that the sender was sent a DSN."""
    fact = Fact.BOUNCED if notice is Notice.FAILURE else Fact.REPORTED
    return Event(
        id=event_id(message_id, bounce.id, "", fact),
        message_id=message_id,
        at=bounce.received_at,
        fact=fact,
        service=SERVICE,
        stage="bounce",
        recipient=bounce.envelope.recipients[0].address,
        detail=("for " + ", ".join(each.recipient.address for each in told))[:MAX_DETAIL],
        related=bounce.id,
    )


def accepted_bounce_fact(message_id: str, bounce: SpooledMessage, subject: str) -> Event:
    """Let the DSN be a tracked message of its own; `related` is the message that it is about."""
    return Event(
        id=event_id(bounce.id, "", "", Fact.ACCEPTED),
        message_id=bounce.id,
        at=bounce.received_at,
        fact=Fact.ACCEPTED,
        service=SERVICE,
        stage="bounce",
        related=message_id,
        direction=bounce.direction,
        reverse_path="",
        recipients=tuple(recipient.address for recipient in bounce.envelope.recipients),
        size_octets=bounce.content.size_octets,
        subject=subject,
    )


def event_id(message_id: str, recipient: str, attempt: str, fact: Fact) -> str:
    """Give 32 hexadecimal digits that are the same for the same fact."""
    return blake2b("\0".join((message_id, recipient, attempt, fact)).encode(), digest_size=16).hexdigest()
