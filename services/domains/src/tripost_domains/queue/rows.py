"""The deferred queue's rows: from values and back."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog

from tripost_domains.queue.model import Claim, ClaimedMessage, Deferral
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Recipient

log = structlog.get_logger()

MAX_REPLY: Final = 1000
MAX_NEXT_HOP: Final = 300
MAX_ORIGINAL: Final = 500


def message_row(message: SpooledMessage, content: Content) -> dict[str, Any]:
    """Give the row of a message whose content is in the store."""
    return {
        "id": message.id,
        "reverse_path": message.envelope.reverse_path,
        "size_octets": content.size_octets,
        "received_at": message.received_at,
        "content": content.stored,
        "spooled": msgspec.msgpack.encode(msgspec.structs.replace(message, content=content)),
    }


def delivery_row(message_id: str, deferral: Deferral, now: datetime) -> dict[str, Any]:
    """Give the row of a delivery that comes into the queue."""
    return {
        "message_id": message_id,
        "recipient": deferral.recipient.address,
        "original_recipient": deferral.recipient.original[:MAX_ORIGINAL],
        "notify": ",".join(deferral.recipient.notify),
        "next_hop": deferral.next_hop[:MAX_NEXT_HOP],
        "state": DeliveryState.DEFERRED,
        "attempts": deferral.attempts,
        "created_at": now,
        "last_attempt_at": now,
        "next_attempt_at": deferral.next_attempt_at,
        "expires_at": deferral.expires_at,
        "last_reply": deferral.last_reply[:MAX_REPLY],
    }


def put_off_row(row: int, deferral: Deferral, now: datetime) -> dict[str, Any]:
    """Give what changes in the row of a delivery that waits again."""
    return {
        "row_id": row,
        "attempts_made": deferral.attempts,
        "hop": deferral.next_hop[:MAX_NEXT_HOP],
        "due_at": deferral.next_attempt_at,
        "attempted_at": now,
        "reply": deferral.last_reply[:MAX_REPLY],
    }


def claimed_messages(rows: Sequence[Any]) -> list[ClaimedMessage]:
    """Put rows of one message and next hop together: they share a transaction.

    Messages that cannot be read are logged and left out.
    """
    together: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows:
        together[row["message_id"], row["next_hop"]].append(row)
    claimed: list[ClaimedMessage] = []
    for (message_id, _), group in together.items():
        try:
            message = msgspec.msgpack.decode(group[0]["spooled"], type=SpooledMessage)
        except msgspec.DecodeError:
            log.exception("queued message cannot be read", message_id=message_id)
            continue
        claimed.append(ClaimedMessage(message, tuple(map(_claim_of, group))))
    return claimed


def _claim_of(row: Any) -> Claim:
    notify = tuple(row["notify"].split(",")) if row["notify"] else ()
    return Claim(
        id=row["id"],
        message_id=row["message_id"],
        recipient=Recipient(row["recipient"], notify, row["original_recipient"]),
        next_hop=row["next_hop"],
        attempts=row["attempts"],
        expires_at=row["expires_at"],
    )
