"""The queue: facts about what operators did, until the event log has them."""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Bring the schema from 0003 to 0004."""
    op.create_table(
        "queue_facts",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("message_id", sa.String(32), nullable=False),
        sa.Column("recipient", sa.String(400), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fact", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_queue_facts"),
    )
    op.create_index("ix_queue_facts_message_id", "queue_facts", ["message_id"])
