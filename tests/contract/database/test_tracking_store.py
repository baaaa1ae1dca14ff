"""Facts become rows alike on SQLite and PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tripost_domains.adapters import sql_tracking
from tripost_domains.adapters.sql_tracking import SqlTracking
from tripost_domains.ports import FactsRefused, TrackingUnavailable
from tripost_domains.tracking.recorder import Rhythm, TrackingRecorder
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.filter import Finding
from tripost_shared.contracts.tracking import microseconds
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import TrackedAddress, TrackedEvent, TrackedMessage
from tripost_shared.database.transactions import reading, writing
from tripost_shared.spool.memory import MemoryEventLog, MemoryEventReader

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SESSION = "1k3v9q2m8f0abcde"
MESSAGE = f"{SESSION}.1"


def fact(fact: Fact, number: int = 0, message: str = MESSAGE, **more: Any) -> Event:
    """A fact, so many seconds after the first."""
    at = NOW + timedelta(seconds=number)
    return Event(f"{message}-{fact}-{number}", message, at, fact, "edge", **more)


def accepted(message: str = MESSAGE, **more: Any) -> Event:
    described: dict[str, Any] = {"direction": "inbound", "client": "192.0.2.1", "reverse_path": "eve@other.example"}
    described |= {"size_octets": 42, "subject": "Hello"}
    return fact(Fact.ACCEPTED, message=message, **(described | more))


async def message_row(engine: AsyncEngine, message: str = MESSAGE) -> Any:
    async with reading(engine) as connection:
        return (await connection.execute(select(TrackedMessage).where(TrackedMessage.id == message))).one()


async def status(engine: AsyncEngine, message: str = MESSAGE) -> str:
    return str((await message_row(engine, message)).status)


async def addresses(engine: AsyncEngine) -> list[tuple[str, str, int]]:
    """Role, address and second of all that messages are found by."""
    async with reading(engine) as connection:
        rows = (await connection.execute(select(TrackedAddress.__table__))).all()
    moments = {microseconds(NOW + timedelta(seconds=second)): second for second in range(-9, 10)}
    return sorted((row.role, f"{row.local_part}@{row.domain}", moments[row.first_at_us]) for row in rows)


async def count(engine: AsyncEngine, table: type[TrackedEvent] | type[TrackedMessage] | type[TrackedAddress]) -> int:
    async with reading(engine) as connection:
        return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


async def test_a_message_is_described_by_its_acceptance(database: AsyncEngine) -> None:
    await SqlTracking(database).write([accepted(login="ann@dest.example")])
    row = await message_row(database)
    assert (row.session_id, row.first_at, row.status) == (SESSION, NOW, "accepted")
    assert (row.direction, row.client, row.login) == ("inbound", "192.0.2.1", "ann@dest.example")
    assert (row.reverse_path, row.subject, row.size_octets) == ("eve@other.example", "Hello", 42)


async def test_what_messages_are_found_by_has_one_form_however_an_accent_is_written(database: AsyncEngine) -> None:
    named: dict[str, Any] = {"recipients": ("E\u0301ve@dest.example",), "login": "\u00c9ve@dest.example"}
    await SqlTracking(database).write([accepted(reverse_path="E\u0301ve@dest.example", **named)])
    assert await addresses(database) == [
        ("login", "\u00e9ve@dest.example", 0),
        ("recipient", "\u00e9ve@dest.example", 0),
    ]
    assert (await message_row(database)).sender_local_part == "\u00e9ve"


async def test_facts_can_be_read_again_as_they_were_told(database: AsyncEngine) -> None:
    finding = Finding("spf", "pass", evidence={"domain": "other.example"})
    told = accepted(findings=(finding,), recipients=("all@dest.example",))
    expanded = fact(Fact.EXPANDED, 1, recipient="all@dest.example", recipients=("ann@dest.example",))
    bounced = fact(Fact.BOUNCED, 2, recipient="eve@other.example", related="1k3v9q2m8f0abcdf.1")
    other = fact(Fact.EXPANDED, 3, message=f"{SESSION}.2")
    store = SqlTracking(database)
    await store.write([bounced, told, expanded, other])
    assert await store.read(MESSAGE, {Fact.EXPANDED, Fact.BOUNCED}) == [expanded, bounced]
    assert await store.read(MESSAGE, {Fact.ACCEPTED}) == [told]
    assert await store.read("1k3v9q2m8f0abcdf.1", set(Fact)) == []


async def test_a_fact_keeps_all_that_has_no_column_in_its_body(database: AsyncEngine) -> None:
    finding = Finding("spf", "pass", evidence={"domain": "other.example"})
    await SqlTracking(database).write([accepted(findings=(finding,), recipients=("ann@dest.example",))])
    async with reading(database) as connection:
        row = (await connection.execute(select(TrackedEvent))).one()
    assert (row.message_id, row.at, row.fact, row.service) == (MESSAGE, NOW, "accepted", "edge")
    assert row.body["recipients"] == ["ann@dest.example"]
    assert row.body["findings"] == [{"check": "spf", "result": "pass", "evidence": {"domain": "other.example"}}]
    assert not {"id", "message_id", "at", "fact", "service", "recipient"} & set(row.body)


async def test_writing_twice_changes_nothing(database: AsyncEngine) -> None:
    store = SqlTracking(database)
    events = [accepted(), fact(Fact.DELIVERED, 1, recipient="ann@dest.example")]
    for _ in range(2):
        await store.write([*events, *events])
    assert await count(database, TrackedEvent) == 2
    assert await status(database) == "delivered"


async def test_the_status_follows_facts_that_come_later(database: AsyncEngine) -> None:
    store = SqlTracking(database)
    seen = []
    for event in (
        accepted(),
        fact(Fact.DEFERRED, 1, recipient="ann@dest.example"),
        fact(Fact.DELIVERED, 2, recipient="bob@dest.example"),
        fact(Fact.FAILED, 3, recipient="ann@dest.example"),
        fact(Fact.BOUNCED, 4, related="another"),
    ):
        await store.write([event])
        seen.append(await status(database))
    assert seen == ["accepted", "deferred", "deferred", "failed", "bounced"]


async def test_facts_that_come_before_the_acceptance_are_put_right(database: AsyncEngine) -> None:
    """The services' logs are read in no common order."""
    store = SqlTracking(database)
    await store.write([fact(Fact.DELIVERED, 5, recipient="ann@dest.example")])
    await store.write([accepted()])
    row = await message_row(database)
    assert (row.status, row.first_at, row.client) == ("delivered", NOW, "192.0.2.1")


async def test_a_message_is_found_by_all_whom_its_facts_name_whatever_their_case(database: AsyncEngine) -> None:
    store = SqlTracking(database)
    await store.write([accepted(login="Ann", recipients=("All@Dest.example",), reverse_path="Eve@Other.example")])
    await store.write([fact(Fact.EXPANDED, 1, recipient="all@dest.example", recipients=("Bob@dest.example",))])
    await store.write([fact(Fact.FAILED, 2, recipient="bob@dest.example")])
    await store.write([fact(Fact.BOUNCED, 3, recipient="eve@other.example", related="another")])
    await store.write([fact(Fact.REFUSED, 4, tried_login="mallory@dest.example")])
    assert await addresses(database) == [
        ("login", "ann@", 0),
        ("login", "mallory@dest.example", 0),
        ("recipient", "all@dest.example", 0),
        ("recipient", "bob@dest.example", 0),
    ]


async def test_the_sender_of_a_message_is_kept_as_written_and_as_it_is_found(database: AsyncEngine) -> None:
    await SqlTracking(database).write([accepted(reverse_path="Eve@Other.example")])
    row = await message_row(database)
    assert (row.reverse_path, row.sender_local_part, row.sender_domain) == ("Eve@Other.example", "eve", "other.example")


async def test_addresses_keep_the_time_of_their_message_when_an_earlier_fact_comes_late(database: AsyncEngine) -> None:
    """They are listed in the order of that time."""
    store = SqlTracking(database)
    await store.write([fact(Fact.DELIVERED, 5, recipient="ann@dest.example")])
    assert await addresses(database) == [("recipient", "ann@dest.example", 5)]
    await store.write([accepted(recipients=("ann@dest.example", "bob@dest.example"))])
    await store.write([fact(Fact.REFUSED, 7, recipient="eve@dest.example")])
    assert await addresses(database) == [("recipient", f"{name}@dest.example", 0) for name in ("ann", "bob", "eve")]


async def test_replicas_that_write_about_the_same_messages_agree(database: AsyncEngine, database_url: str) -> None:
    """Each sees what the other has written, or waits for it."""
    other = open_engine(database_url)
    messages = [f"{SESSION}.{number}" for number in range(1, 31)]
    deferred = [fact(Fact.DEFERRED, 1, message, recipient="a@b.example") for message in messages]
    relayed = [fact(Fact.RELAYED, 2, message, recipient="a@b.example") for message in reversed(messages)]
    await asyncio.gather(
        *(SqlTracking(database).write([accepted(message)]) for message in messages),
        SqlTracking(database).write([accepted(message) for message in messages]),
        SqlTracking(other).write(deferred),
        SqlTracking(other).write(relayed),
    )
    await other.dispose()
    assert {await status(database, message) for message in messages} == {"relayed"}


async def test_messages_are_locked_in_one_order_however_many_statements_that_takes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas would wait for each other. (On SQLite the first to write keeps all others out.)"""
    monkeypatch.setattr(sql_tracking, "IDS_AT_ONCE", 1)
    engine = open_engine(postgres_url)
    store = SqlTracking(engine)
    first, last = f"{SESSION}.1", f"{SESSION}.2"
    await store.write([accepted(first), accepted(last)])
    lock = select(TrackedMessage.id).with_for_update(skip_locked=True)
    async with engine.begin() as other:
        await other.execute(lock.where(TrackedMessage.id == last))
        facts = [fact(Fact.RELAYED, 1, message, recipient="a@b.example") for message in (last, first)]
        writing_both = asyncio.create_task(store.write(facts))
        async with asyncio.timeout(5):
            while await _first_of(engine, lock.where(TrackedMessage.id == first)):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        assert not writing_both.done()
    await writing_both
    assert {await status(engine, message) for message in (first, last)} == {"relayed"}
    await engine.dispose()


async def test_a_purge_waits_for_no_message_that_is_written_about(postgres_url: str) -> None:
    """Its writer might wait for another message of the same purge. (On SQLite the first to write keeps others out.)"""
    engine = open_engine(postgres_url)
    store = SqlTracking(engine)
    written_about, last = f"{SESSION}.1", f"{SESSION}.2"
    await store.write([accepted(written_about), accepted(last)])
    async with engine.begin() as other:
        await other.execute(select(TrackedMessage.id).where(TrackedMessage.id == written_about).with_for_update())
        async with asyncio.timeout(5):
            assert await store.purge(NOW + timedelta(seconds=1), 2) == 1
    assert await count(engine, TrackedMessage) == 1
    assert await store.purge(NOW + timedelta(seconds=1), 2) == 1
    await engine.dispose()


async def _first_of(engine: AsyncEngine, wanted: Select[tuple[str]]) -> str | None:
    async with engine.begin() as connection:
        return await connection.scalar(wanted)


PURGING = {
    "postgresql": (
        "CREATE FUNCTION purge() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN DELETE FROM tracked_messages; RETURN NULL; END $$",
        "CREATE TRIGGER purge AFTER INSERT ON tracked_events FOR EACH STATEMENT EXECUTE FUNCTION purge()",
    ),
    "sqlite": ("CREATE TRIGGER purge AFTER INSERT ON tracked_events BEGIN DELETE FROM tracked_messages; END",),
}


async def test_a_message_that_is_purged_while_a_fact_about_it_is_written_is_written_anew(database: AsyncEngine) -> None:
    """A fact without its message would be found by nobody and stay for ever."""
    store = SqlTracking(database)
    await store.write([accepted()])
    async with writing(database) as connection:  # a trigger stands in for the other replica
        for statement in PURGING[database.dialect.name]:
            await connection.execute(text(statement))
    with pytest.raises(TrackingUnavailable, match="purged"):
        await store.write([fact(Fact.RELAYED, 1, recipient="a@b.example")])
    assert await count(database, TrackedMessage) == await count(database, TrackedEvent) == 1


async def test_texts_that_a_database_would_refuse_are_cut_and_cleaned(database: AsyncEngine) -> None:
    """PostgreSQL takes no NUL, and nothing longer than its column."""
    long = "x" * 1000
    await SqlTracking(database).write([accepted(subject=f"a\0{long}", helo="mx\0.example", client=long, login=long)])
    row = await message_row(database)
    assert row.subject.startswith("ax")
    async with reading(database) as connection:
        assert (await connection.execute(select(TrackedEvent.body))).scalar_one()["helo"] == "mx.example"


async def test_a_large_batch_is_written_at_once(database: AsyncEngine) -> None:
    messages = [f"{SESSION}.{number}" for number in range(1, 1201)]
    store = SqlTracking(database)
    await store.write([accepted(message) for message in messages])
    await store.write([fact(Fact.DELIVERED, 1, message, recipient="ann@dest.example") for message in messages])
    assert await count(database, TrackedMessage) == 1200
    assert await status(database, messages[-1]) == "delivered"


async def test_old_messages_are_purged_with_their_facts_and_no_more_than_asked(database: AsyncEngine) -> None:
    store = SqlTracking(database)
    await store.write([accepted(f"{SESSION}.{number}", recipients=("ann@dest.example",)) for number in (1, 2, 3)])
    await store.write([fact(Fact.ACCEPTED, 60, f"{SESSION}.9", recipients=("ann@dest.example",))])
    assert await store.purge(NOW + timedelta(seconds=30), 2) == 2
    assert await store.purge(NOW + timedelta(seconds=30), 2) == 1
    assert await store.purge(NOW + timedelta(seconds=30), 2) == 0
    left = [await count(database, table) for table in (TrackedMessage, TrackedEvent, TrackedAddress)]
    assert left == [1, 1, 1]


async def test_a_fact_with_a_number_that_no_column_holds_is_refused_and_nothing_of_its_batch_is_written(
    database: AsyncEngine,
) -> None:
    with pytest.raises(FactsRefused):
        await SqlTracking(database).write([accepted(), accepted(f"{SESSION}.2", size_octets=2**63)])
    assert await count(database, TrackedMessage) == await count(database, TrackedEvent) == 0


@pytest.mark.parametrize("table", ["tracked_messages", "tracked_events", "tracked_addresses"])
async def test_a_table_that_is_missing_for_a_while_costs_no_fact(database: AsyncEngine, table: str) -> None:
    """The same goes for a right that is missing: no fact is to blame, so none is left out."""
    async with writing(database) as connection:
        await connection.execute(text(f"ALTER TABLE {table} RENAME TO away"))
    facts = MemoryEventLog()
    for number in range(3):
        facts.record(accepted(f"{SESSION}.{number}", recipients=("ann@dest.example",)))
    reader = MemoryEventReader(facts)
    quick = Rhythm(timedelta(), timedelta(milliseconds=2), timedelta(milliseconds=5))
    recorder = TrackingRecorder(reader, SqlTracking(database), quick)
    recorder.start()
    async with asyncio.timeout(10):
        while not recorder.trouble:  # noqa: ASYNC110 (the recorder tells nobody)
            await asyncio.sleep(0.001)
    assert table in recorder.trouble
    assert not await reader.wait_until_done(timedelta())
    async with writing(database) as connection:
        await connection.execute(text(f"ALTER TABLE away RENAME TO {table}"))
    assert await reader.wait_until_done(timedelta(seconds=10))
    await recorder.stop()
    assert await count(database, TrackedEvent) == 3


async def test_a_database_that_is_away_is_said_to_be(unused_tcp_port: int) -> None:
    engine = open_engine(f"postgresql://tripost@127.0.0.1:{unused_tcp_port}/tripost")
    with pytest.raises(TrackingUnavailable):
        await SqlTracking(engine).write([accepted()])
    await engine.dispose()
