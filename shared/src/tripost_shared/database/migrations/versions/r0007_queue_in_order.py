"""The queue: an index that gives the messages in the order in which they are listed."""

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Bring the schema from 0006 to 0007."""
    op.create_index("ix_queued_messages_received_at", "queued_messages", ["received_at", "id"])
