"""The migrations and the models say the same, on both databases, however many services start at once."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text
from structlog.testing import capture_logs

from postgres_server import PostgresServer
from tripost_shared.database.alembic_run import configuration
from tripost_shared.database.engine import open_engine
from tripost_shared.database.migrate import _LOCK_KEY, upgrade, upgrade_when_there
from tripost_shared.database.migrations import NEWEST
from tripost_shared.database.models import Alias, Base, Mailbox, SenderGrant, TrackedAddress, TrackedMessage
from tripost_shared.database.transactions import DatabaseUnavailable, reading


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'empty.sqlite'}"
    return str(request.getfixturevalue("empty_postgres_url"))


A_QUEUED_MESSAGE = (
    "INSERT INTO queued_messages (id, reverse_path, size_octets, received_at, content, spooled) "
    "VALUES ('m', 'eve@sender.example', 1, '2026-01-01 00:00:00', 'm', '')"
)
A_DELIVERY_OF_OLD = (
    "INSERT INTO queued_deliveries (id, message_id, recipient, original_recipient, notify, next_hop, state, attempts, "
    "created_at, next_attempt_at, expires_at, last_reply, claimed_by) VALUES (:id, 'm', :recipient, '', '', 'mailbox', "
    "'deferred', 0, '2026-01-01 00:00:00', '2026-01-01 00:00:00', '2026-01-06 00:00:00', '', '')"
)


A_TRACKED_MESSAGE = (
    "INSERT INTO tracked_messages (id, session_id, first_at, direction, client, login, reverse_path, subject, "
    "size_octets, status) VALUES (:id, :id, '2026-01-01 00:00:00.000000', '', '', '', :path, '', 1, 'accepted')"
)
A_TRACKED_FACT = (
    "INSERT INTO tracked_events (id, message_id, at, fact, service, recipient, body) "
    "VALUES (:id, :message, '2026-01-01 00:00:00.000000', :fact, 'edge', :recipient, :body)"
)


A_DOMAIN = "INSERT INTO domains (id, name, created_at) VALUES (1, 'dest.example', '2026-01-01 00:00:00')"
A_MAILBOX = (
    "INSERT INTO mailboxes (id, domain_id, local_part, enabled, created_at) "
    "VALUES (:id, 1, :name, true, '2026-01-01 00:00:00')"
)
AN_ALIAS = (
    "INSERT INTO aliases (id, domain_id, local_part, targets, created_at) "
    "VALUES (:id, 1, :name, '[]', '2026-01-01 00:00:00')"
)
A_GRANT = (
    "INSERT INTO sender_grants (id, mailbox_id, pattern, created_at) VALUES (:id, 1, :pattern, '2026-01-01 00:00:00')"
)
AN_ICU_COLLATION = (
    "INSERT INTO pg_collation (oid, collname, collnamespace, collowner, collprovider, collisdeterministic, "
    "collencoding, colllocale) SELECT 99001, 'und-x-icu', 'pg_catalog'::regnamespace, 10, 'i', true, -1, 'und' "
    "WHERE NOT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu')"
)


def migrate_to(connection: Connection, revision: str) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, Base.metadata))


def test_the_newest_revision_is_that_of_the_last_migration() -> None:
    assert ScriptDirectory.from_config(configuration()).get_current_head() == NEWEST


async def test_an_empty_database_becomes_what_the_models_say(empty_url: str) -> None:
    assert await upgrade(empty_url) == NEWEST
    engine = open_engine(empty_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_a_queue_of_the_first_schema_is_kept_and_its_release_may_still_write_into_it(empty_url: str) -> None:
    """During an upgrade, replicas of both releases are at work: what the old one does not name has a default."""
    engine = open_engine(empty_url)
    async with engine.begin() as connection:
        await connection.run_sync(migrate_to, "0001")
        await connection.execute(text(A_QUEUED_MESSAGE))
        await connection.execute(text(A_DELIVERY_OF_OLD), {"id": 1, "recipient": "ann@dest.example"})
    assert await upgrade(empty_url) == NEWEST
    async with engine.begin() as connection:
        await connection.execute(text(A_DELIVERY_OF_OLD), {"id": 2, "recipient": "bob@dest.example"})
        rows = await connection.execute(text("SELECT recipient, written_to FROM queued_deliveries ORDER BY id"))
        assert [tuple(row) for row in rows] == [("ann@dest.example", ""), ("bob@dest.example", "")]
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_messages_that_were_tracked_before_are_found_by_whom_their_facts_name(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts: none is left out between them."""
    monkeypatch.setattr("tripost_shared.database.migrations.versions.r0005_addresses_of_tracked_messages.AT_ONCE", 2)
    ids = [f"1k3v9q2m8f0abcd{number}" for number in range(5)]
    facts = [
        (
            "accepted",
            "",
            {"recipients": ["Ann@Dest.example", "bob@dest.example"], "login": "Eve", "reverse_path": "x@y"},
        ),
        ("delivered", "ann@dest.example", {}),
        ("bounced", "Sender@From.example", {}),
        ("refused", "", {"tried_login": "mallory@dest.example"}),
    ]
    engine = open_engine(empty_url)
    async with engine.begin() as connection:
        await connection.run_sync(migrate_to, "0004")
        for key, path in zip(ids, ("Sender@From.example", "", None, None, "Last@From.example"), strict=True):
            await connection.execute(text(A_TRACKED_MESSAGE), {"id": key, "path": path})
        for message in (ids[0], ids[4]):
            for fact, recipient, body in facts:
                values = {"message": message, "fact": fact, "recipient": recipient, "body": json.dumps(body)}
                await connection.execute(text(A_TRACKED_FACT), {"id": f"{message}{fact}", **values})
    assert await upgrade(empty_url) == NEWEST
    async with reading(engine) as connection:
        assert await connection.run_sync(differences) == []
        senders = select(TrackedMessage.sender_local_part, TrackedMessage.sender_domain).order_by(TrackedMessage.id)
        of_messages = [tuple(row) for row in await connection.execute(senders)]
        named = [tuple(row) for row in await connection.execute(select(TrackedAddress.__table__))]
    assert of_messages == [("sender", "from.example"), ("", ""), (None, None), (None, None), ("last", "from.example")]
    first_at_us = 1_767_225_600_000_000
    assert sorted(named) == [
        (message, *halves, first_at_us)
        for message in (ids[0], ids[4])
        for halves in (
            ("login", "", "eve"),
            ("login", "dest.example", "mallory"),
            ("recipient", "dest.example", "ann"),
            ("recipient", "dest.example", "bob"),
        )
    ]
    await engine.dispose()


async def test_names_that_were_kept_with_their_accents_apart_are_composed(empty_url: str) -> None:
    """Of two mailboxes that look the same the composed one stays as it is, and the log tells of the other."""
    engine = open_engine(empty_url)
    async with engine.begin() as connection:
        await connection.run_sync(migrate_to, "0005")
        await connection.execute(text(A_DOMAIN))
        for key, name in enumerate(("ann", "e\u0301ve", "u\u0308r", "\u00fcr"), start=1):
            await connection.execute(text(A_MAILBOX), {"id": key, "name": name})
        await connection.execute(text(AN_ALIAS), {"id": 1, "name": "pre\u0301s"})
        for key, pattern in enumerate(("o\u0308@a.example", "\u00f6@a.example", "a\u0308@a.example"), start=1):
            await connection.execute(text(A_GRANT), {"id": key, "pattern": pattern})
    with capture_logs() as logs:
        assert await upgrade(empty_url) == NEWEST
    async with reading(engine) as connection:
        names = {
            table.__tablename__: list(await connection.scalars(select(name).order_by(table.id)))
            for table, name in (
                (Mailbox, Mailbox.local_part),
                (Alias, Alias.local_part),
                (SenderGrant, SenderGrant.pattern),
            )
        }
    await engine.dispose()
    assert names == {
        "mailboxes": ["ann", "\u00e9ve", "u\u0308r", "\u00fcr"],
        "aliases": ["pr\u00e9s"],
        "sender_grants": ["\u00f6@a.example", "\u00e4@a.example"],
    }
    assert [(log["table"], log["id"]) for log in logs if log["log_level"] == "warning"] == [("mailboxes", 3)]


@pytest.fixture
def ascii_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database as initdb makes it without a locale."""
    name = postgres_server.create_database("template0 ENCODING 'SQL_ASCII'")
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


async def test_a_collation_that_is_listed_and_does_not_work_is_not_taken(ascii_url: str) -> None:
    """Every PostgreSQL with ICU lists its collations for all encodings, also for those that ICU does not know."""
    engine = open_engine(ascii_url)
    async with engine.begin() as connection:
        await connection.run_sync(migrate_to, "0005")
        await connection.execute(text(AN_ICU_COLLATION))
        await connection.execute(text(A_DOMAIN))
        await connection.execute(text(A_MAILBOX), {"id": 1, "name": "e\u0301ve"})
    assert await upgrade(ascii_url) == NEWEST
    async with reading(engine) as connection:
        assert await connection.scalar(text("SELECT tripost_folded('Ann')")) == "ann"
        assert list(await connection.scalars(select(Mailbox.local_part))) == ["\u00e9ve"]
    await engine.dispose()


async def test_a_second_upgrade_changes_nothing(empty_url: str) -> None:
    await upgrade(empty_url)
    assert await upgrade(empty_url) == NEWEST


async def test_a_service_that_has_nothing_to_migrate_does_not_load_alembic(empty_url: str) -> None:
    """It would keep 15 MB of it."""
    await upgrade(empty_url)
    program = (
        "import asyncio, sys; from tripost_shared.database.migrate import upgrade; asyncio.run(upgrade(sys.argv[1])); "
        "sys.exit('alembic' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, empty_url)
    assert await process.wait() == 0


async def test_several_services_may_start_at_once_on_an_empty_database(empty_url: str) -> None:
    """Processes, not tasks: that is what starts at once."""
    program = (
        "import asyncio, sys; from tripost_shared.database.migrate import upgrade; asyncio.run(upgrade(sys.argv[1]))"
    )
    starting = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, empty_url, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = await asyncio.gather(*(process.communicate() for process in starting))
    assert [process.returncode for process in starting] == [0, 0, 0, 0], ends


async def test_a_migration_waits_until_that_of_another_service_has_ended(empty_postgres_url: str) -> None:
    """Two that look at one time would both begin at the same revision."""
    engine = open_engine(empty_postgres_url)
    lock = text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
    waiting = text(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
    )
    async with engine.begin() as other:
        await other.execute(lock)
        upgrading = asyncio.create_task(upgrade(empty_postgres_url))
        async with asyncio.timeout(20):
            while await other.scalar(waiting) == 0:
                assert not upgrading.done()
                await asyncio.sleep(0.02)
        assert await other.scalar(text("SELECT to_regclass('alembic_version')")) is None
    assert await upgrading == NEWEST
    await engine.dispose()


async def test_a_schema_newer_than_this_release_is_left_as_it_is(empty_url: str) -> None:
    """A replica of the old release restarts while the new one has migrated already."""
    await upgrade(empty_url)
    engine = open_engine(empty_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
    assert await upgrade(empty_url) == "9999"


async def test_a_new_sqlite_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """It holds password hashes."""
    path = tmp_path / "new.sqlite"
    await upgrade(f"sqlite+aiosqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_database_that_does_not_answer_is_said_to_be_unavailable(unused_tcp_port: int) -> None:
    with pytest.raises(DatabaseUnavailable):
        await upgrade_when_there(f"postgresql://tripost@127.0.0.1:{unused_tcp_port}/tripost", timedelta())


async def test_a_schema_that_another_hand_has_touched_is_waited_for_and_nothing_has_changed(empty_url: str) -> None:
    """As a right that is missing: when an administrator has mended it, no service needs to be started again."""
    engine = open_engine(empty_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE queued_deliveries (id integer)"))
    with pytest.raises(DatabaseUnavailable, match="queued_deliveries"):
        await upgrade_when_there(empty_url, timedelta())
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE queued_deliveries"))
    assert await upgrade_when_there(empty_url) == NEWEST
    await engine.dispose()


def test_the_job_migrates_and_ends_with_0(empty_url: str) -> None:
    job = run_job({"TRIPOST_DATABASE_URL": empty_url})
    assert job.returncode == 0, job.stderr
    assert NEWEST in job.stderr


def test_the_job_says_in_one_line_which_setting_is_wrong_and_keeps_the_password_to_itself() -> None:
    job = run_job({"TRIPOST_DATABASE_URL": "mysql://ann:hunter2@db.example/tripost"})
    assert job.returncode == 2
    assert job.stderr.startswith("tripost migrate: TRIPOST_DATABASE_URL")
    assert "hunter2" not in job.stderr


def run_job(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    # Whoever runs the tests stays who they are: another user may be unable to read the checkout or tmp_path.
    program = (
        "from tripost_shared import privileges; privileges.give_up_root = lambda user: None; "
        "from tripost_shared.database.migrate import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
