"""Operators, their tokens and what they did; the configuration that the tiers watch."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from tripost_shared.database.models.base import BIG_KEY, JSON_TEXT, Base


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
