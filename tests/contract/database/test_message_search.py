"""A search for messages reads what it finds, not all that is tracked: on both databases by their own account."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from query_plans import plan_of
from tripost_admin_api.api.message_search import MessageQuery, found, many_are_led_to, page_of
from tripost_domains.adapters.sql_tracking import SqlTracking
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.database.models import TrackedMessage
from tripost_shared.database.transactions import reading, writing
from tripost_shared.mail.identifier import message_id_of, new_session_id

NOW = datetime(2026, 1, 2, tzinfo=UTC)
MANY = 4000  # messages: enough for a look at all of them to be the worse plan
POSITION = (NOW - timedelta(seconds=100), "1k3v9q2m8f0abcde.1")


def accepted(number: int) -> Event:
    at = NOW - timedelta(seconds=number)
    return Event(
        f"fact-{number}",
        message_id_of(new_session_id(at), 1),
        at,
        Fact.ACCEPTED,
        "edge",
        client=f"192.0.2.{number % 200}",
        login=f"User{number % 150}",
        reverse_path=f"Sender{number % 150}@From{number % 90}.example",
        recipients=(f"To{number % 150}@dest{number % 90}.example", f"also{number}@dest{number % 90}.example"),
    )


def search(
    searched: dict[str, Any], before: tuple[datetime, str] | None = None, *, are_many: bool = False
) -> Select[TrackedMessage]:
    return found(MessageQuery.model_validate(searched), before, NOW, are_many=are_many)


@pytest.fixture
async def tracked(database: AsyncEngine) -> AsyncEngine:
    store = SqlTracking(database)
    for start in range(0, MANY, 1000):
        await store.write([accepted(number) for number in range(start, start + 1000)])
    async with writing(database) as connection:
        if database.dialect.name == "postgresql":
            await connection.execute(text("ANALYZE"))
    return database


SCANS = {"sqlite": r"SCAN tracked_\w+(?! USING INDEX)\b", "postgresql": r"Seq Scan on tracked_"}
SEARCHES: list[tuple[dict[str, Any], str]] = [
    ({"recipient": "to7@dest7.example"}, "ix_tracked_addresses_address"),
    ({"recipient": "@dest7.example"}, "ix_tracked_addresses_address"),
    ({"login": "user7"}, "ix_tracked_addresses_address"),
    ({"recipient": "to7@dest7.example", "status": "accepted"}, "ix_tracked_addresses_address"),
    ({"recipient": "@dest7.example", "login": "user7"}, "ix_tracked_addresses_address"),
    ({"sender": "sender7@from7.example", "recipient": "to7@dest7.example"}, "ix_tracked_addresses_address"),
    ({"sender": "sender7@from7.example", "login": "user7"}, "ix_tracked_(addresses_address|messages_sender)"),
    ({"sender": "sender7@from7.example"}, "ix_tracked_messages_sender"),
    ({"sender": "@from7.example"}, "ix_tracked_messages_(sender|first_at)"),
    ({"sender": "<>"}, "ix_tracked_messages_sender"),
    ({"sender": "sender7@from7.example", "client": "192.0.2.7"}, "ix_tracked_messages_sender"),
    ({"id": message_id_of(new_session_id(NOW), 1)}, "tracked_messages"),
    ({"id": new_session_id(NOW)}, "ix_tracked_messages_session_id"),
    ({}, "ix_tracked_messages_first_at"),
]


async def test_no_search_reads_a_table_as_a_whole_nor_any_part_of_a_list(tracked: AsyncEngine) -> None:
    for searched, index in SEARCHES:
        for before in (None, POSITION):
            plan = await plan_of(tracked, search(searched | {"limit": 10}, before))
            assert re.search(index, plan), (searched, plan)
            assert not re.search(SCANS[tracked.dialect.name], plan), (searched, plan)


@pytest.mark.parametrize(
    "searched", [{"recipient": "to7@dest7.example"}, {"login": "user7"}, {"sender": "sender7@from7.example"}], ids=str
)
async def test_the_index_of_an_address_gives_its_messages_in_their_order(
    tracked: AsyncEngine, searched: dict[str, str]
) -> None:
    """So that a part of a list costs what it shows, however many messages there are to an address."""
    query = MessageQuery.model_validate(searched | {"limit": 1})
    for before in (None, POSITION):
        plan = await plan_of(tracked, page_of(query, before, NOW, are_many=False))
        assert not re.search("TEMP B-TREE FOR ORDER BY|Sort", plan), plan


async def test_a_whole_recipient_leads_to_the_messages_of_a_sender_to_it(tracked: AsyncEngine) -> None:
    """A sender that sends to everybody has more than each recipient. (PostgreSQL chooses by its own statistics.)"""
    query = MessageQuery.model_validate({"sender": "sender7@from7.example", "recipient": "to7@dest7.example"})
    for before in (None, POSITION):
        plan = await plan_of(tracked, page_of(query, before, NOW, are_many=False))
        if tracked.dialect.name == "sqlite":
            assert plan.startswith("SEARCH tracked_addresses USING COVERING INDEX ix_tracked_addresses_address"), plan


async def test_a_domain_with_many_messages_is_walked_through_in_the_order_of_time(tracked: AsyncEngine) -> None:
    """On SQLite, which sorted them all for each part of the list; PostgreSQL chooses by its own statistics."""
    searched = {"recipient": "@dest7.example", "limit": 1000}
    async with reading(tracked) as connection:
        listed = [(await connection.execute(search(searched, are_many=many))).all() for many in (False, True)]
    assert listed[0] == listed[1] != []
    for before in (None, POSITION):
        plan = await plan_of(tracked, page_of(MessageQuery.model_validate(searched), before, NOW, are_many=True))
        if tracked.dialect.name == "sqlite":
            assert "ix_tracked_messages_first_at" in plan, plan
            assert "TEMP B-TREE FOR ORDER BY" not in plan, plan  # those of one moment it may sort


async def test_what_leads_is_counted_only_where_it_is_a_domain(
    tracked: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tripost_admin_api.api.message_search.MANY", 80)
    for searched, are_many in (
        ({"recipient": "@dest7.example"}, True),  # 90 addresses, at least
        ({"recipient": "@none.example"}, False),
        ({"recipient": "to7@dest7.example"}, None),
        ({"recipient": "@dest7.example", "login": "user7"}, None),
        ({"recipient": "@dest7.example", "sender": "sender7@from7.example"}, None),
        ({"sender": "@from7.example"}, None),
    ):
        question = many_are_led_to(MessageQuery.model_validate(searched))
        async with reading(tracked) as connection:
            answer = None if question is None else bool(await connection.scalar(question))
        assert answer is are_many, searched


async def test_a_search_gives_what_a_look_at_all_messages_would(tracked: AsyncEngine) -> None:
    numbers = range(7, MANY, 450)  # 450 is the least number that both 150 and 90 divide
    expected = [accepted(number).id.removeprefix("fact-") for number in numbers]
    for searched in ({"recipient": "to7@dest7.example"}, {"sender": "sender7@from7.example"}):
        async with reading(tracked) as connection:
            rows = (await connection.execute(search(searched))).all()
        assert [str(round((NOW - row.first_at).total_seconds())) for row in rows] == expected


@pytest.mark.parametrize("wanted", ["\u00c9ve@dest.example", "\u00e9VE@Dest.example", "e\u0301ve@dest.example"])
@pytest.mark.parametrize("written", ["\u00c9ve@dest.example", "E\u0301ve@dest.example"], ids=["composed", "apart"])
async def test_messages_are_found_by_any_spelling_of_an_address(
    database: AsyncEngine, written: str, wanted: str
) -> None:
    told = msgspec.structs.replace(accepted(1), reverse_path=written, recipients=(written,), login=written)
    await SqlTracking(database).write([told, accepted(2)])
    for name in ("sender", "recipient", "login"):
        async with reading(database) as connection:
            assert [row.id for row in await connection.execute(search({name: wanted}))] == [told.message_id], name
