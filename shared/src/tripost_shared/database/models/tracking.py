"""What is known of messages, built from events."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from tripost_shared.database.models.base import MAX_ADDRESS, Base


class TrackedMessage(Base):
    """What is known of a message or a session that was refused: one row per id, built from its events.

    `sender_local_part` and `sender_domain` are the halves of the reverse-path, folded: what it is found by.
    """

    __tablename__ = "tracked_messages"
    __table_args__ = (
        Index("ix_tracked_messages_first_at", "first_at"),
        Index("ix_tracked_messages_sender", "sender_domain", "sender_local_part", "first_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(16), index=True)
    first_at: Mapped[datetime]
    direction: Mapped[str] = mapped_column(String(16), default="")
    client: Mapped[str] = mapped_column(String(64), default="")
    login: Mapped[str] = mapped_column(String(MAX_ADDRESS), default="")
    reverse_path: Mapped[str | None] = mapped_column(String(MAX_ADDRESS))
    sender_local_part: Mapped[str | None] = mapped_column(String(MAX_ADDRESS))
    sender_domain: Mapped[str | None] = mapped_column(String(MAX_ADDRESS))
    subject: Mapped[str] = mapped_column(String(255), default="")
    size_octets: Mapped[int] = mapped_column(BigInteger, default=0)
    status: Mapped[str] = mapped_column(String(16))  # what became of it, over all recipients: accepted, delivered …


class TrackedEvent(Base):
    """One fact, as it was recorded. `body` is the event without the fields that have columns."""

    __tablename__ = "tracked_events"
    __table_args__ = (Index("ix_tracked_events_message", "message_id", "at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    message_id: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime]
    fact: Mapped[str] = mapped_column(String(16))
    service: Mapped[str] = mapped_column(String(16))
    recipient: Mapped[str] = mapped_column(String(MAX_ADDRESS), default="")
    body: Mapped[dict[str, Any]]


class TrackedAddress(Base):
    """A recipient or a login that a message is found by: one row for each that its facts name, folded.

    `role` is a `tripost_shared.contracts.tracking.Role`. `domain` is "" in a user name without one. `first_at_us` is
    the message's `first_at` in microseconds since 1970: the index gives an address' messages in the order of lists.
    """

    __tablename__ = "tracked_addresses"
    __table_args__ = (
        Index("ix_tracked_addresses_address", "domain", "role", "local_part", "first_at_us", "message_id"),
        {"sqlite_with_rowid": False},  # its primary key holds nearly all of it
    )

    message_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    domain: Mapped[str] = mapped_column(String(MAX_ADDRESS), primary_key=True)
    local_part: Mapped[str] = mapped_column(String(MAX_ADDRESS), primary_key=True)
    first_at_us: Mapped[int] = mapped_column(BigInteger)
