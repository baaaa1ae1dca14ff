"""Logins: which mechanisms a domain allows, secrets for those that show no password, application passwords."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

JSON_TEXT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Bring the schema from 0007 to 0008."""
    op.add_column("domains", sa.Column("mechanisms", JSON_TEXT, nullable=True))
    op.create_table(
        "mailbox_secrets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("mechanism", sa.String(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["mailbox_id"], ["mailboxes.id"], name="fk_mailbox_secrets_mailbox_id_mailboxes", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mailbox_secrets"),
        sa.UniqueConstraint("mailbox_id", "mechanism", name="uq_mailbox_secrets_mailbox_id"),
    )
    op.create_table(
        "app_passwords",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scope", JSON_TEXT, nullable=False),
        sa.Column("networks", JSON_TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["mailbox_id"], ["mailboxes.id"], name="fk_app_passwords_mailbox_id_mailboxes", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_app_passwords"),
        sa.UniqueConstraint("mailbox_id", "name", name="uq_app_passwords_mailbox_id"),
    )
