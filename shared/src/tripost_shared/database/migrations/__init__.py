"""The schema's history: one file per change, in `versions/`; Alembic runs them (see `migrate.py`)."""

from typing import Final

NEWEST: Final = "0008"  # the last file's revision, known without Alembic
