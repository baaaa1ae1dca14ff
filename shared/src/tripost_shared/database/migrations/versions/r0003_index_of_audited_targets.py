"""The audit: an index to find what was done to one thing, such as when a mailbox was removed."""

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Bring the schema from 0002 to 0003."""
    op.create_index("ix_audit_entries_target", "audit_entries", ["target", "action", "id"])
