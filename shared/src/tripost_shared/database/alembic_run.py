"""Alembic, run on a connection that `migrate.py` has opened and locked; loaded only where there is something to do."""

from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

log = structlog.get_logger()


def configuration() -> Config:
    """Give Alembic's configuration: where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(connection: Connection) -> str:
    """Bring the schema to the newest revision, unless it is newer than this release; gives the revision it has then."""
    config = configuration()
    script = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    newest = script.get_current_head() or ""
    if present is not None and present not in {revision.revision for revision in script.walk_revisions()}:
        log.warning("the database schema is newer than this release: left as it is", revision=present)
        return present
    if present != newest:
        log.info("migrating the database schema", revision_before=present or "none", revision_after=newest)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return newest
