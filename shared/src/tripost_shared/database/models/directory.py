"""The directory: domains, mailboxes with what they log in by, aliases, grants, routes."""

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tripost_shared.database.models.base import JSON_TEXT, MAX_ADDRESS, Base, Folded


class Domain(Base):
    """A domain of ours: lower-case A-labels. `mechanisms`: those its mailboxes may log in by; None: the default."""

    __tablename__ = "domains"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Folded(255), unique=True)
    mechanisms: Mapped[list[str] | None] = mapped_column(JSON_TEXT)
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


class MailboxSecret(Base):
    """What a mechanism needs that does not show the password, sealed (`tripost_shared.logins`)."""

    __tablename__ = "mailbox_secrets"
    __table_args__ = (UniqueConstraint("mailbox_id", "mechanism"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailboxes.id", ondelete="CASCADE"))
    mechanism: Mapped[str] = mapped_column(String(32))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class AppPassword(Base):
    """A further password of a mailbox, for one program. `digest`: SHA-256 of at least 100 random bits.

    `scope`: kinds of listeners (`tripost_shared.mail.client.ListenerKind`). `networks`: in CIDR form, none: any.
    """

    __tablename__ = "app_passwords"
    __table_args__ = (UniqueConstraint("mailbox_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailboxes.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64))
    scope: Mapped[list[str]] = mapped_column(JSON_TEXT)
    networks: Mapped[list[str]] = mapped_column(JSON_TEXT)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


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
