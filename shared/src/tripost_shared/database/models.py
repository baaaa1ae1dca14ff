"""The tables. Migrations in `migrations/` make them; a test holds the two against each other."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tripost_shared.mail.address import folded

MAX_ADDRESS: Final = 400  # characters: 64 of local part, each with a backslash, two quotes, an at, 255 of domain
BIG_KEY: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by INTEGER PRIMARY KEY only
JSON_TEXT: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Folded(TypeDecorator[str]):
    """Text that is stored and compared as `tripost_shared.mail.address.folded` gives it: no writer can forget it."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Fold it by Unicode's rules, which SQLite's own lower() does not know."""
        return value if value is None else folded(value)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite, which knows no zones, stores it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give aware times."""
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value


class Base(DeclarativeBase):
    """Where all tables are listed."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON_TEXT}  # noqa: RUF012 (SQLAlchemy's way)


class Domain(Base):
    """A domain of ours: lower-case A-labels."""

    __tablename__ = "domains"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Folded(255), unique=True)
    created_at: Mapped[datetime]


class Mailbox(Base):
    """A mailbox. `local_part` folded, without quotes. `password_hash` is argon2id, None: nobody can log in."""

    __tablename__ = "mailboxes"
    __table_args__ = (UniqueConstraint("domain_id", "local_part"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id", ondelete="CASCADE"))
    local_part: Mapped[str] = mapped_column(Folded(64))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime]


class Alias(Base):
    """An address that leads to others. `local_part` "*" is the domain's catch-all. `targets`: list of addresses."""

    __tablename__ = "aliases"
    __table_args__ = (UniqueConstraint("domain_id", "local_part"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id", ondelete="CASCADE"))
    local_part: Mapped[str] = mapped_column(Folded(64))
    targets: Mapped[list[str]] = mapped_column(JSON_TEXT)
    created_at: Mapped[datetime]


class SenderGrant(Base):
    """Lets a mailbox use a foreign reverse-path: `pattern` is an address, or `@domain` for all of a domain."""

    __tablename__ = "sender_grants"
    __table_args__ = (UniqueConstraint("mailbox_id", "pattern"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailboxes.id", ondelete="CASCADE"))
    pattern: Mapped[str] = mapped_column(Folded(MAX_ADDRESS))
    created_at: Mapped[datetime]


class Route(Base):
    """Where mail for a recipient domain goes when it is not one of ours.

    `domain`: exact name, `.example.org` for all below it, or `*` for any. The most specific one wins.
    `host` None: by MX. `host` "name" or address literal, with `port`: that smarthost. `tls`: "none", "may"
    (opportunistic) or "encrypt". `accepts_from_anyone`: mail for this domain is taken from any client (we are its MX).
    """

    __tablename__ = "routes"

    id: Mapped[int] = mapped_column(primary_key=True)
    domain: Mapped[str] = mapped_column(Folded(256), unique=True)
    host: Mapped[str | None] = mapped_column(String(255))
    port: Mapped[int] = mapped_column(Integer, default=25)
    tls: Mapped[str] = mapped_column(String(16), default="may")
    accepts_from_anyone: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime]


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


class ApiToken(Base):
    """A bearer token: only its SHA-256 is stored (the token has 256 random bits)."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    scope: Mapped[str] = mapped_column(String(16))  # admin or read
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Operator(Base):
    """A person who administers. `must_change_password`: the present one is good for setting another only."""

    __tablename__ = "operators"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    must_change_password: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime]


class ConfigDocument(Base):
    """A configuration struct (`tripost_shared.contracts.config`) by its key, as JSON; admin-api publishes it."""

    __tablename__ = "config_documents"

    key: Mapped[str] = mapped_column(String(32), primary_key=True)
    body: Mapped[dict[str, Any]]


class ConfigRevision(Base):
    """The number of the newest change of any kind: one row."""

    __tablename__ = "config_revision"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime]


class AuditEntry(Base):
    """Who changed what, when: written in the same transaction as the change."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_target", "target", "action", "id"),)

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    at: Mapped[datetime]
    revision: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(120))
    action: Mapped[str] = mapped_column(String(60))  # such as "mailbox.create"
    target: Mapped[str] = mapped_column(String(400))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON_TEXT)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON_TEXT)
