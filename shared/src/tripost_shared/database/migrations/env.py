"""What Alembic runs a migration in: the connection that `migrate.py` has opened and locked."""

from alembic import context

from tripost_shared.database.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transaction_per_migration=False,
)
context.run_migrations()
