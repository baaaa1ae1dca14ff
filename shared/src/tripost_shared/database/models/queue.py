"""The deferred queue."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tripost_shared.database.models.base import BIG_KEY, MAX_ADDRESS, Base


class QueuedMessage(Base):
    """A message with deliveries in the deferred queue. `content` is the object's name in the content store.

    `spooled` is the SpooledMessage as MessagePack, its content replaced by that reference.
    """

    __tablename__ = "queued_messages"
    __table_args__ = (Index("ix_queued_messages_received_at", "received_at", "id"),)  # the order of lists

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    reverse_path: Mapped[str] = mapped_column(Text)
    size_octets: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime]
    content: Mapped[str] = mapped_column(String(64), index=True)
    spooled: Mapped[bytes] = mapped_column(LargeBinary)


class QueuedDelivery(Base):
    """One recipient of a queued message.

    `written_to` is the address that the sender wrote to, when an alias has led from there to the recipient; else "".
    `state` is a `tripost_shared.contracts.queue.DeliveryState`: "deferred" (due at `next_attempt_at`), "held", or
    "attempting" (claimed by `claimed_by` until `claimed_until`; a claim that has run out is due again, at once when
    nobody has it). A `claimed_until` of one that is no claim tells that an attempt of before may have gone well, so the
    tracking is asked before the next one. An attempt at `expires_at` or later is the last one. `created_at` is when it
    came into the queue or was released last: the time between the two is what a release gives it again.
    """

    __tablename__ = "queued_deliveries"
    __table_args__ = (
        UniqueConstraint("message_id", "recipient"),
        Index("ix_queued_deliveries_due", "state", "next_attempt_at"),
        Index("ix_queued_deliveries_hop_due", "next_hop", "state", "next_attempt_at"),
    )

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    message_id: Mapped[str] = mapped_column(ForeignKey("queued_messages.id", ondelete="CASCADE"))
    recipient: Mapped[str] = mapped_column(String(MAX_ADDRESS))
    written_to: Mapped[str] = mapped_column(String(MAX_ADDRESS), default="", server_default=text("''"))
    original_recipient: Mapped[str] = mapped_column(String(500), default="")
    notify: Mapped[str] = mapped_column(String(64), default="")
    next_hop: Mapped[str] = mapped_column(String(300))
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    last_attempt_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_reply: Mapped[str] = mapped_column(Text, default="")
    claimed_by: Mapped[str] = mapped_column(String(64), default="")
    claimed_until: Mapped[datetime | None]


class QueueFact(Base):
    """A fact about a queued delivery that is not yet known to be in the event log: what an operator did to it.

    Written in the transaction that did it, and removed once the log has acknowledged the fact, so a crash at any moment
    loses none. `id` is the event's, `detail` says who did it.
    """

    __tablename__ = "queue_facts"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    message_id: Mapped[str] = mapped_column(String(32), index=True)
    recipient: Mapped[str] = mapped_column(String(MAX_ADDRESS))
    at: Mapped[datetime]
    fact: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(Text, default="")
