"""The audit forgets what is old, but never what removal warnings are made of."""

import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from admin_api import Api
from admin_service import RunningAdmin
from servers import free_port
from tripost_admin_api.api.former import REMOVALS
from tripost_admin_api.configuration.audit_retention import AT_ONCE, AuditRetention
from tripost_shared.database.models import AuditEntry

V1 = "/api/v1"
YEAR = timedelta(days=365)


def retention(api: Api) -> AuditRetention:
    return AuditRetention(api.parts.database, api.clock, YEAR, REMOVALS)


async def entries(api: Api) -> list[tuple[object, object]]:
    return [(entry["action"], entry["target"]) for entry in await api.audited()]


async def test_what_is_older_than_the_retention_is_forgotten_and_what_is_younger_is_not(api: Api) -> None:
    await api.add("domains", name="local.test")
    api.clock.advance(YEAR)
    await api.add("mailboxes", address="ann@local.test")
    assert await retention(api).purge() == 0
    api.clock.advance(timedelta(seconds=1))
    assert await retention(api).purge() == 1
    assert await entries(api) == [("mailbox.create", "ann@local.test")]


async def test_the_newest_removal_of_each_mailbox_and_domain_is_kept_and_warned_of_as_before(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("domains", name="other.test")
    for _ in range(2):
        await api.add("mailboxes", address="ann@local.test")
        assert (await api.admin.delete(f"{V1}/mailboxes/ann@local.test")).status_code == 204
        removed_at = api.clock.now()
        api.clock.advance(timedelta(days=1))
    await api.add("mailboxes", address="bob@other.test")
    assert (await api.admin.delete(f"{V1}/domains/other.test", params={"with_contents": True})).status_code == 204
    domain_removed_at = api.clock.now()
    api.clock.advance(YEAR * 10)
    await retention(api).purge()
    assert await entries(api) == [("mailbox.delete", "ann@local.test"), ("domain.delete", "other.test")]
    await api.add("domains", name="other.test")
    for address, at in (("ann@local.test", removed_at), ("eve@other.test", domain_removed_at)):
        made = (await api.add("mailboxes", address=address)).json()
        assert datetime.fromisoformat(made["former_removed_at"]) == at


async def test_a_long_audit_is_purged_to_its_end_in_parts_past_what_stays(api: Api) -> None:
    old, now = api.clock.now() - 2 * YEAR, api.clock.now()
    count = AT_ONCE + 5
    async with api.parts.database.writing() as session:
        for number in range(count):
            session.add(entry("mailbox.delete", f"u{number}@local.test", old))
        session.add_all(entry("route.update", "dest.example", old) for _ in range(count))
        session.add(entry("route.delete", "dest.example", now))
    assert await retention(api).purge() == count
    async with api.parts.database.reading() as session:
        left = await session.execute(select(AuditEntry.action, func.count().label("many")).group_by(AuditEntry.action))
        assert {row.action: row.many for row in left} == {"mailbox.delete": count, "route.delete": 1}


def test_the_service_purges_when_it_starts(tmp_path: Path) -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    with RunningAdmin(tmp_path, nowhere) as admin, admin.client() as client:
        assert client.post(f"{V1}/domains", json={"name": "local.test"}).status_code == 201
    with closing(sqlite3.connect(tmp_path / "tripost.sqlite")) as database:
        database.execute("UPDATE audit_entries SET at = '2000-01-01 00:00:00.000000' WHERE action = 'domain.create'")
        database.commit()
    with RunningAdmin(tmp_path, nowhere) as admin, admin.client() as client:
        give_up_at = time.monotonic() + 10
        while "domain.create" in client.get(f"{V1}/audit-entries").text:
            assert time.monotonic() < give_up_at, "it did not purge in time"
            time.sleep(0.02)


def entry(action: str, target: str, at: datetime) -> AuditEntry:
    return AuditEntry(at=at, revision=1, actor="token tests", action=action, target=target)
