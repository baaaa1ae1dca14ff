"""The schema's history: one file per change, in `versions/`; Alembic runs them (see `migrate.py`)."""
