"""What logins are verified by reads alike from a table in memory, from SQLite and from PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.adapters.sql_directory import SqlDirectoryRecords
from tripost_domains.directory.model import AppPasswordRecord, CredentialRecord
from tripost_domains.ports import DirectoryRecords
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import AppPassword, Domain, Mailbox, MailboxSecret
from tripost_shared.database.transactions import writing

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PHONE = AppPasswordRecord(1, "phone", "d1", ("submission",), ("192.0.2.0/24", "2001:db8::/32"), NOW, None)
TABLET = AppPasswordRecord(2, "tablet", "d2", ("submission",))
SECRETS = {"SCRAM-SHA-256": b"\x01sealed\x00", "CRAM-MD5": b"\x01too"}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def records(request: pytest.FixtureRequest) -> AsyncIterator[DirectoryRecords]:
    """`ann@` has all there is, `bob@` nothing; `second.example` allows two mechanisms, the others are as they ship."""
    if request.param == "memory":
        memory = MemoryDirectoryRecords("mailbox ann@dest.example", "mailbox bob@dest.example", "domain second.example")
        memory.set_password("ann@dest.example", "a hash")
        memory.set_secrets("ann@dest.example", SECRETS)
        memory.set_app_passwords("ann@dest.example", PHONE, TABLET)
        memory.allow("second.example", "PLAIN", "SCRAM-SHA-256")
        yield memory
        return
    engine = open_engine(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]))
    await fill(engine)
    yield SqlDirectoryRecords(engine)
    await engine.dispose()


async def fill(engine: AsyncEngine) -> None:
    mailbox = {"domain_id": 1, "enabled": True, "created_at": NOW}
    async with writing(engine) as connection:
        await connection.execute(
            insert(Domain),
            [
                {"id": 1, "name": "dest.example", "mechanisms": None, "created_at": NOW},
                {"id": 2, "name": "second.example", "mechanisms": ["PLAIN", "SCRAM-SHA-256"], "created_at": NOW},
            ],
        )
        await connection.execute(
            insert(Mailbox),
            [
                mailbox | {"id": 1, "local_part": "ann", "password_hash": "a hash"},
                mailbox | {"id": 2, "local_part": "bob", "password_hash": None},
            ],
        )
        for mechanism, sealed in SECRETS.items():
            row = {"mailbox_id": 1, "mechanism": mechanism, "sealed": sealed, "created_at": NOW}
            await connection.execute(insert(MailboxSecret).values(**row))
        for one in (PHONE, TABLET):
            row = {"mailbox_id": 1, "name": one.name, "digest": one.digest, "scope": list(one.scope)}
            row |= {"networks": list(one.networks), "expires_at": one.expires_at, "created_at": NOW}
            await connection.execute(insert(AppPassword).values(**row))


async def test_a_login_comes_with_its_secrets_and_application_passwords(records: DirectoryRecords) -> None:
    found = await records.load_credential("dest.example", "ann")
    assert found is not None
    assert sorted(found.app_passwords, key=lambda one: one.name) == [PHONE, TABLET]
    assert replace(found, app_passwords=()) == CredentialRecord(True, "a hash", ("PLAIN", "LOGIN"), (), SECRETS)
    assert await records.load_credential("dest.example", "bob") == CredentialRecord(True, None)
    assert await records.load_credential("", "") is None


async def test_the_last_use_of_an_application_password_is_written(records: DirectoryRecords) -> None:
    await records.note_use(PHONE.id, NOW)
    await records.note_use(99, NOW)  # revoked meanwhile
    found = await records.load_credential("dest.example", "ann")
    assert found is not None
    assert {one.name: one.last_used_at for one in found.app_passwords} == {"phone": NOW, "tablet": None}


async def test_allowed_are_the_mechanisms_of_all_domains(records: DirectoryRecords) -> None:
    assert set(await records.load_mechanisms()) == {"PLAIN", "LOGIN", "SCRAM-SHA-256"}


async def test_without_a_domain_the_default_ones_are_allowed(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    await fill(engine)
    async with writing(engine) as connection:
        await connection.execute(delete(Domain))
    assert set(await SqlDirectoryRecords(engine).load_mechanisms()) == {"PLAIN", "LOGIN"}
    await engine.dispose()
