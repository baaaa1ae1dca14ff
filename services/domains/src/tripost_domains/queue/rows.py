"""The deferred queue's rows: from values and back."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from tripost_domains.queue.model import Claim, Claimed, ClaimedMessage, Deferral, Unreadable
from tripost_shared.bus.encoding import decode, encode
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Recipient

MAX_REPLY: Final = 1000
MAX_NEXT_HOP: Final = 300
MAX_ORIGINAL: Final = 500
MAX_OWNER: Final = 64
UNREADABLE: Final = "451 4.3.0 Held for the administrator: the queued message cannot be read"


def owner_name(instance: str) -> str:
    """Fit an instance's name into the column: one that is too long (a host name has 253 octets) ends in a digest."""
    if len(instance) <= MAX_OWNER:
        return instance
    digest = blake2b(instance.encode(), digest_size=12).hexdigest()
    return f"{instance[: MAX_OWNER - len(digest) - 1]}~{digest}"


def message_row(message: SpooledMessage, content: Content) -> dict[str, Any]:
    """Give the row of a message whose content is in the store."""
    return {
        "id": message.id,
        "reverse_path": message.envelope.reverse_path,
        "size_octets": content.size_octets,
        "received_at": message.received_at,
        "content": content.stored,
        "spooled": encode(msgspec.structs.replace(message, content=content)),
    }


def delivery_row(message_id: str, deferral: Deferral, now: datetime) -> dict[str, Any]:
    """Give the row of a delivery that comes into the queue."""
    return {
        "message_id": message_id,
        "recipient": deferral.recipient.address,
        "written_to": deferral.written_to,
        "original_recipient": deferral.recipient.original[:MAX_ORIGINAL],
        "notify": ",".join(deferral.recipient.notify),
        "next_hop": deferral.next_hop[:MAX_NEXT_HOP],
        "state": DeliveryState.HELD if deferral.is_held else DeliveryState.DEFERRED,
        "attempts": deferral.attempts,
        "created_at": now,
        "last_attempt_at": now if deferral.attempts else None,
        "next_attempt_at": deferral.next_attempt_at,
        "expires_at": deferral.expires_at,
        "last_reply": deferral.last_reply[:MAX_REPLY],
        "claimed_until": now if deferral.may_be_settled else None,
    }


def put_off_row(message_id: str, row: int, deferral: Deferral, now: datetime) -> dict[str, Any]:
    """Give what changes in the row of a delivery that waits again."""
    return {
        "row_id": row,
        "of_message": message_id,
        "attempts_made": deferral.attempts,
        "hop": deferral.next_hop[:MAX_NEXT_HOP],
        "due_at": deferral.next_attempt_at,
        "attempted_at": now,
        "reply": deferral.last_reply[:MAX_REPLY],
        "was_claimed_until": now if deferral.may_be_settled else None,
    }


def claimed_messages(rows: Sequence[Any], abandoned: Collection[int]) -> Claimed:
    """Put rows of one message and next hop together: they share a transaction; and name what cannot be read.

    `abandoned` are the rows of which a former claim ran out or was given back.
    """
    together: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows:
        together[row["message_id"], row["next_hop"]].append(row)
    claimed = Claimed()
    for (message_id, _), group in together.items():
        try:
            message = decode(group[0]["spooled"], SpooledMessage)
        except msgspec.DecodeError as error:
            numbers, recipients = tuple(row["id"] for row in group), tuple(row["recipient"] for row in group)
            claimed.unreadable.append(Unreadable(message_id, numbers, recipients, str(error)))
            continue
        claims = tuple(_claim_of(row, may_be_settled=row["id"] in abandoned) for row in group)
        claimed.messages.append(ClaimedMessage(message, claims))
    return claimed


def _claim_of(row: Any, *, may_be_settled: bool) -> Claim:
    notify = tuple(row["notify"].split(",")) if row["notify"] else ()
    return Claim(
        id=row["id"],
        message_id=row["message_id"],
        recipient=Recipient(row["recipient"], notify, row["original_recipient"]),
        next_hop=row["next_hop"],
        attempts=row["attempts"],
        expires_at=row["expires_at"],
        written_to=row["written_to"],
        may_be_settled=may_be_settled,
        last_attempt_at=row["last_attempt_at"],
    )
