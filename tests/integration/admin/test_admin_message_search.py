"""Messages through the API: found by any of their marks, page by page."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event as events

from admin_api import Api
from admin_tracking import Tracking
from tripost_admin_api.api.message_search import RECENT
from tripost_shared.contracts.events import Fact
from tripost_shared.mail.identifier import session_of

V1 = "/api/v1"


@pytest.fixture
def tracking(api: Api) -> Tracking:
    return Tracking(api)


async def found(api: Api, **query: Any) -> list[str]:
    answer = await api.reader.get(f"{V1}/messages", params=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def in_parts(api: Api, **query: Any) -> list[str]:
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.reader.get(f"{V1}/messages", params={**query, "limit": 2, "cursor": cursor})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    return seen


async def test_messages_are_found_by_any_of_their_marks(api: Api, tracking: Tracking) -> None:
    mine, bounce, refused = tracking.new_id(), tracking.new_id(), tracking.new_id()
    mark = {"reverse_path": "Ann@A.example", "client": "192.0.2.7", "login": "ann@a.example", "direction": "inbound"}
    await tracking.message(mine, Fact.DELIVERED, **mark)
    envelope: dict[str, Any] = {"reverse_path": "Ann@A.example", "recipients": ("Bob@Local.test", "x@local.test")}
    await tracking.fact(mine, Fact.ACCEPTED, login="ann@a.example", **envelope)
    api.clock.advance(timedelta(hours=1))
    await tracking.message(bounce, Fact.DELIVERED, reverse_path="", direction="bounce")
    await tracking.fact(bounce, Fact.DELIVERED, recipient="ann@a.example")
    await tracking.message(refused, Fact.REFUSED, client="198.51.100.1", reverse_path="spam_er@b.example")
    await tracking.fact(refused, Fact.REFUSED, stage="auth", tried_login="ANN@a.example")
    await tracking.fact(refused, Fact.REFUSED, stage="rcpt", recipient="bob@local.test")
    assert await found(api) == [refused, bounce, mine]
    assert await found(api, sender="ann@a.example") == [mine]
    assert await found(api, sender="@A.example") == [mine]
    assert await found(api, sender="<>") == [bounce]
    assert await found(api, sender="spam%er@b.example") == []
    assert await found(api, sender="ann@A.Example", client="::ffff:192.0.2.7") == [mine]
    assert await found(api, recipient="bob@local.test") == [refused, mine]
    assert await found(api, recipient="@local.test") == [refused, mine]
    assert await found(api, recipient="ann@a.example") == [bounce]
    assert await found(api, recipient="ob@local.test") == []
    assert await found(api, status="refused") == [refused]
    assert await found(api, direction="bounce") == [bounce]
    assert await found(api, client="192.0.2.7") == [mine]
    assert await found(api, login="Ann@a.example") == [refused, mine]
    assert await found(api, login="nn@a.example") == []
    assert await found(api, id=mine) == [mine]
    assert await found(api, id=session_of(mine)) == [mine]
    half_an_hour_ago = (api.clock.now() - timedelta(minutes=30)).isoformat()
    assert await found(api, since=half_an_hour_ago) == [refused, bounce]
    assert await found(api, until=half_an_hour_ago) == [mine]
    assert await found(api, until=half_an_hour_ago, recipient="nobody@local.test") == []
    for recipient in ("bob@local.test", "@local.test"):
        assert await found(api, until=half_an_hour_ago, recipient=recipient) == [mine]
        assert await found(api, since=half_an_hour_ago, recipient=recipient, login="ann@a.example") == [refused]
        assert await found(api, sender="ann@a.example", recipient=recipient) == [mine]
        assert await found(api, sender="@b.example", recipient=recipient) == [refused]
        assert await found(api, sender="<>", recipient=recipient) == []
        assert await found(api, id=mine, recipient=recipient) == [mine]
        assert await found(api, id=bounce, recipient=recipient) == []
        assert await found(api, recipient=recipient, client="192.0.2.7") == [mine]
    shown = (await api.reader.get(f"{V1}/messages", params={"id": mine})).json()["items"][0]
    assert shown["recipients"] == ["Bob@Local.test", "x@local.test"]


@pytest.mark.parametrize(
    "searched", [{"recipient": "bob@dest.example"}, {"recipient": "@dest.example"}, {"sender": "<>"}]
)
async def test_what_is_found_by_an_address_comes_in_parts_each_message_once(
    api: Api, tracking: Tracking, searched: dict[str, str]
) -> None:
    """Although two recipients of a message are of the same domain, and two messages of the same moment."""
    identifiers = [tracking.new_id() for _ in range(5)]
    moments = [api.clock.now() + timedelta(seconds=seconds) for seconds in (0, 1, 1, 1, 2)]
    for identifier, first_at in zip(identifiers, moments, strict=True):
        await tracking.message(identifier, Fact.ACCEPTED, reverse_path="", first_at=first_at)
        await tracking.fact(identifier, Fact.ACCEPTED, recipients=("ann@dest.example", "bob@dest.example"))
    assert await in_parts(api, **searched) == identifiers[::-1]


async def test_messages_to_a_domain_that_has_many_are_walked_through_and_not_sorted(
    api: Api, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many as are sorted for each part of the list, and with one more."""
    identifiers = [tracking.new_id() for _ in range(5)]
    for identifier in identifiers:
        await tracking.message(identifier, Fact.ACCEPTED)
        await tracking.fact(identifier, Fact.ACCEPTED, recipients=("ann@dest.example", "bob@dest.example"))
    for many, is_sorted in ((10, True), (9, False)):
        monkeypatch.setattr("tripost_admin_api.api.message_search.MANY", many)
        statements: list[str] = []
        note = partial(lambda seen, *call: seen.append(call[2]), statements)
        events.listen(api.parts.database.engine.sync_engine, "before_cursor_execute", note)
        assert await in_parts(api, recipient="@dest.example") == identifiers[::-1]
        events.remove(api.parts.database.engine.sync_engine, "before_cursor_execute", note)
        assert any("SELECT DISTINCT" in statement for statement in statements) is is_sorted


@pytest.mark.parametrize(
    ("searched", "reaches_back"),
    [
        ({"status": "held"}, False),
        ({"client": "192.0.2.7"}, False),
        ({"direction": "inbound", "recipient": "@dest.example"}, False),
        ({"sender": "@a.example", "recipient": "@dest.example"}, False),
        ({"status": "held", "recipient": "bob@dest.example"}, True),
        ({"status": "held", "sender": "ann@a.example"}, True),
        ({"status": "held", "login": "ann"}, True),
        ({"recipient": "@dest.example"}, True),
        ({"sender": "@a.example"}, True),
        ({}, True),
    ],
    ids=str,
)
async def test_what_no_index_leads_to_is_looked_for_in_the_last_days_only_unless_more_is_asked(
    api: Api, tracking: Tracking, searched: dict[str, str], reaches_back: bool
) -> None:
    old = tracking.new_id()
    marks = {"client": "192.0.2.7", "direction": "inbound", "reverse_path": "ann@a.example"}
    await tracking.message(old, Fact.HELD, **marks)
    await tracking.fact(old, Fact.ACCEPTED, login="ann", recipients=("bob@dest.example",))
    begun = api.clock.now()
    api.clock.advance(RECENT - timedelta(seconds=1))
    assert await found(api, **searched) == [old]
    api.clock.advance(timedelta(seconds=2))
    assert (await found(api, **searched) == [old]) is reaches_back
    assert await found(api, **searched, since=begun.isoformat()) == [old]
    assert await found(api, **searched, until=(begun + timedelta(days=1)).isoformat()) == [old]


async def test_messages_of_one_moment_are_each_listed_once(api: Api, tracking: Tracking) -> None:
    identifiers = [tracking.new_id() for _ in range(5)]
    for identifier in identifiers:
        await tracking.message(identifier, Fact.ACCEPTED, first_at=api.clock.now())
    assert await in_parts(api) == sorted(identifiers, reverse=True)
