"""The queue: the address that the sender wrote to, and indexes for claims and for contents.

The column has a default in the database: replicas of the release before write rows without it during an upgrade.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Bring the schema from 0001 to 0002."""
    op.add_column("queued_deliveries", sa.Column("written_to", sa.String(400), nullable=False, server_default=""))
    op.create_index("ix_queued_messages_content", "queued_messages", ["content"])
    op.create_index("ix_queued_deliveries_hop_due", "queued_deliveries", ["next_hop", "state", "next_attempt_at"])
    op.drop_index("ix_queued_deliveries_next_hop", "queued_deliveries")  # the new one begins with it
