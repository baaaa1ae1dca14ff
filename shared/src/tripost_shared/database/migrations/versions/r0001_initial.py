"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

# As they were when this was written: a migration does not follow the models.
MOMENT = sa.DateTime(timezone=True)
JSON_TEXT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema from nothing to 0001."""
    _directory()
    _queue()
    _tracking()
    _administration()


def _directory() -> None:
    op.create_table(
        "domains",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_domains"),
        sa.UniqueConstraint("name", name="uq_domains_name"),
    )
    op.create_table(
        "mailboxes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("domain_id", sa.Integer(), nullable=False),
        sa.Column("local_part", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name="fk_mailboxes_domain_id_domains", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mailboxes"),
        sa.UniqueConstraint("domain_id", "local_part", name="uq_mailboxes_domain_id"),
    )
    op.create_table(
        "aliases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("domain_id", sa.Integer(), nullable=False),
        sa.Column("local_part", sa.String(64), nullable=False),
        sa.Column("targets", JSON_TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name="fk_aliases_domain_id_domains", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_aliases"),
        sa.UniqueConstraint("domain_id", "local_part", name="uq_aliases_domain_id"),
    )
    op.create_table(
        "sender_grants",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("pattern", sa.String(400), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["mailbox_id"], ["mailboxes.id"], name="fk_sender_grants_mailbox_id_mailboxes", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sender_grants"),
        sa.UniqueConstraint("mailbox_id", "pattern", name="uq_sender_grants_mailbox_id"),
    )
    op.create_table(
        "routes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(256), nullable=False),
        sa.Column("host", sa.String(255)),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("tls", sa.String(16), nullable=False),
        sa.Column("accepts_from_anyone", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_routes"),
        sa.UniqueConstraint("domain", name="uq_routes_domain"),
    )


def _queue() -> None:
    op.create_table(
        "queued_messages",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("reverse_path", sa.Text(), nullable=False),
        sa.Column("size_octets", sa.BigInteger(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("spooled", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_queued_messages"),
    )
    op.create_table(
        "queued_deliveries",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("message_id", sa.String(32), nullable=False),
        sa.Column("recipient", sa.String(400), nullable=False),
        sa.Column("original_recipient", sa.String(500), nullable=False),
        sa.Column("notify", sa.String(64), nullable=False),
        sa.Column("next_hop", sa.String(300), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_attempt_at", MOMENT),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("last_reply", sa.Text(), nullable=False),
        sa.Column("claimed_by", sa.String(64), nullable=False),
        sa.Column("claimed_until", MOMENT),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["queued_messages.id"],
            name="fk_queued_deliveries_message_id_queued_messages",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_queued_deliveries"),
        sa.UniqueConstraint("message_id", "recipient", name="uq_queued_deliveries_message_id"),
    )
    op.create_index("ix_queued_deliveries_due", "queued_deliveries", ["state", "next_attempt_at"])
    op.create_index("ix_queued_deliveries_next_hop", "queued_deliveries", ["next_hop"])


def _tracking() -> None:
    op.create_table(
        "tracked_messages",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("session_id", sa.String(16), nullable=False),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("login", sa.String(400), nullable=False),
        sa.Column("reverse_path", sa.String(400)),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("size_octets", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tracked_messages"),
    )
    op.create_index("ix_tracked_messages_first_at", "tracked_messages", ["first_at"])
    op.create_index("ix_tracked_messages_reverse_path", "tracked_messages", ["reverse_path"])
    op.create_index("ix_tracked_messages_session_id", "tracked_messages", ["session_id"])
    op.create_table(
        "tracked_events",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("message_id", sa.String(32), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("fact", sa.String(16), nullable=False),
        sa.Column("service", sa.String(16), nullable=False),
        sa.Column("recipient", sa.String(400), nullable=False),
        sa.Column("body", JSON_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tracked_events"),
    )
    op.create_index("ix_tracked_events_message", "tracked_events", ["message_id", "at"])
    op.create_index("ix_tracked_events_recipient", "tracked_events", ["recipient", "at"])


def _administration() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("last_used_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("name", name="uq_api_tokens_name"),
        sa.UniqueConstraint("token_sha256", name="uq_api_tokens_token_sha256"),
    )
    op.create_table(
        "operators",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_operators"),
        sa.UniqueConstraint("name", name="uq_operators_name"),
    )
    op.create_table(
        "config_documents",
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("body", JSON_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_config_documents"),
    )
    op.create_table(
        "config_revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_config_revision"),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("action", sa.String(60), nullable=False),
        sa.Column("target", sa.String(400), nullable=False),
        sa.Column("before", JSON_TEXT),
        sa.Column("after", JSON_TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
    )
