"""Tracking through the API: found by any of its marks, shown with every fact."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import event as events

from admin_api import Api
from tripost_admin_api.api.message_search import RECENT
from tripost_admin_api.api.trace import CAUSAL_ORDER, MOST_FACTS, MOST_FACTS_IN_LIST
from tripost_domains.tracking.summary import summarise
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.filter import Finding
from tripost_shared.contracts.tracking import halves, microseconds
from tripost_shared.database.models import TrackedAddress, TrackedEvent, TrackedMessage
from tripost_shared.mail.identifier import message_id_of, new_session_id, session_of
from tripost_shared.mail.reply import SmtpReply

V1 = "/api/v1"
COLUMNS = {"id", "message_id", "at", "fact", "service", "recipient"}


class Tracking:
    """Writes what the tracking's recorder writes: a row a fact, and a row a message."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._facts = 0
        self._first_at: dict[str, datetime] = {}

    def new_id(self, transaction: int = 1) -> str:
        self._api.clock.advance(timedelta(seconds=1))
        return message_id_of(new_session_id(self._api.clock.now()), transaction)

    async def message(self, identifier: str, status: Fact, **columns: Any) -> None:
        self._first_at[identifier] = columns.pop("first_at", self._api.clock.now())
        if "reverse_path" in columns:
            columns["sender_local_part"], columns["sender_domain"] = halves(columns["reverse_path"].lower())
        async with self._api.parts.database.writing() as session:
            session.add(
                TrackedMessage(
                    id=identifier,
                    session_id=session_of(identifier),
                    first_at=self._first_at[identifier],
                    status=status.value,
                    **columns,
                )
            )

    async def fact(self, identifier: str, fact: Fact, at: datetime | None = None, **members: Any) -> None:
        async with self._api.parts.database.writing() as session:
            event = self._event(identifier, fact, at or self._api.clock.now(), members)
            session.add(row_of(event))
            summary = summarise([event])[identifier]
            for role, address in summary.named | summary.concerned:
                await session.merge(
                    TrackedAddress(
                        message_id=identifier,
                        role=role.value,
                        domain=halves(address)[1],
                        local_part=halves(address)[0],
                        first_at_us=microseconds(self._first_at[identifier]),
                    )
                )

    async def refused(self, identifier: str, recipients: Iterable[str]) -> None:
        """Each a second after the one before."""
        async with self._api.parts.database.writing() as session:
            for place, recipient in enumerate(recipients):
                at = self._api.clock.now() + timedelta(seconds=place)
                event = self._event(identifier, Fact.REFUSED, at, {"stage": "rcpt", "recipient": recipient})
                session.add(row_of(event))

    def _event(self, identifier: str, fact: Fact, at: datetime, members: dict[str, Any]) -> Event:
        self._facts += 1
        service = members.pop("service", "edge")
        return Event(id=f"fact-{self._facts}", message_id=identifier, at=at, fact=fact, service=service, **members)


def row_of(event: Event) -> TrackedEvent:
    body = {key: value for key, value in msgspec.to_builtins(event).items() if key not in COLUMNS}
    return TrackedEvent(
        id=event.id,
        message_id=event.message_id,
        at=event.at,
        fact=event.fact.value,
        service=event.service,
        recipient=event.recipient,
        body=body,
    )


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


async def test_a_trace_shows_every_fact_in_the_order_of_time_with_findings_and_replies(
    api: Api, tracking: Tracking
) -> None:
    identifier = tracking.new_id()
    now = api.clock.now()
    await tracking.message(
        identifier, Fact.DELIVERED, reverse_path="ann@a.example", client="192.0.2.7", direction="inbound", subject="Hi"
    )
    finding = Finding(
        check="spf",
        result="fail",
        score=3.5,
        because="no mechanism matched",
        refuse_with=SmtpReply(550, "5.7.23", "SPF"),
        evidence={"record": "v=spf1 -all"},
        elapsed_ms=1.5,
    )
    await tracking.fact(
        identifier,
        Fact.RELAYED,
        now + timedelta(seconds=2),
        service="domains",
        stage="delivery",
        recipient="eve@far.example",
        next_hop="mx.far.example",
        reply="250 2.0.0 queued as 77",
    )
    await tracking.fact(
        identifier,
        Fact.ACCEPTED,
        now,
        stage="data",
        reverse_path="ann@a.example",
        recipients=("bob@local.test", "eve@far.example"),
        findings=(finding,),
        reply=f"250 2.0.0 Accepted as {identifier}",
    )
    await tracking.fact(
        identifier,
        Fact.DELIVERED,
        now + timedelta(seconds=1),
        service="domains",
        stage="delivery",
        recipient="bob@local.test",
    )
    trace = (await api.reader.get(f"{V1}/messages/{identifier}")).json()
    assert [event["fact"] for event in trace["events"]] == ["accepted", "delivered", "relayed"]
    assert trace["status"] == "delivered"
    assert trace["recipients"] == ["bob@local.test", "eve@far.example"]
    shown = trace["events"][0]["findings"][0]
    assert shown["evidence"] == {"record": "v=spf1 -all"}
    assert shown["refuse_with"] == {"code": 550, "enhanced": "5.7.23", "text": "SPF"}
    assert trace["events"][2]["reply"] == "250 2.0.0 queued as 77"
    assert trace["events"][0]["at"].endswith("Z")
    assert not trace["truncated"]


async def test_facts_of_one_moment_are_shown_as_one_leads_to_the_other(api: Api, tracking: Tracking) -> None:
    identifier = tracking.new_id()
    now = api.clock.now()
    await tracking.message(identifier, Fact.DISCARDED)
    for fact in reversed(CAUSAL_ORDER):
        await tracking.fact(identifier, fact, now)
    await tracking.fact(identifier, Fact.DELIVERED, now - timedelta(seconds=1), recipient="earlier@local.test")
    trace = (await api.reader.get(f"{V1}/messages/{identifier}")).json()
    assert [event["fact"] for event in trace["events"]] == ["delivered", *(fact.value for fact in CAUSAL_ORDER)]


def test_every_fact_has_its_place_among_those_of_one_moment() -> None:
    assert sorted(CAUSAL_ORDER) == sorted(Fact)


async def test_the_verdict_of_an_accepted_message_is_shown_and_what_monitor_mode_held_back(
    api: Api, tracking: Tracking
) -> None:
    identifier = tracking.new_id()
    await tracking.message(identifier, Fact.ACCEPTED)
    verdict: dict[str, Any] = {"action": "tag", "score": 21.5, "rule": "monitor:patterns", "intended": "reject"}
    await tracking.fact(identifier, Fact.ACCEPTED, **verdict)
    shown = (await api.reader.get(f"{V1}/messages/{identifier}")).json()["events"][0]
    assert {name: shown[name] for name in verdict} == verdict


async def test_a_sessions_id_shows_all_its_messages_and_what_was_before_them(api: Api, tracking: Tracking) -> None:
    first = tracking.new_id()
    session_id = session_of(first)
    second = message_id_of(session_id, 2)
    await tracking.message(first, Fact.ACCEPTED)
    await tracking.message(second, Fact.REFUSED)
    await tracking.message(session_id, Fact.REFUSED)
    await tracking.fact(session_id, Fact.REFUSED, stage="auth", reply="535 5.7.8 no")
    await tracking.fact(first, Fact.ACCEPTED)
    await tracking.fact(second, Fact.REFUSED, stage="rcpt", recipient="no@local.test")
    whole = (await api.reader.get(f"{V1}/messages/{session_id}")).json()
    assert [event["message_id"] for event in whole["events"]] == [session_id, first, second]
    assert whole["session_messages"] == [first, second]
    one = (await api.reader.get(f"{V1}/messages/{second}")).json()
    assert [event["message_id"] for event in one["events"]] == [session_id, second]
    assert one["session_messages"] == [first]


async def test_a_message_shows_of_its_session_how_the_client_came_to_it_and_no_other_refusals(
    api: Api, tracking: Tracking
) -> None:
    first = tracking.new_id()
    session_id, second = session_of(first), message_id_of(session_of(first), 2)
    begun = api.clock.now()
    await tracking.message(session_id, Fact.REFUSED)
    for fact in ({"stage": "auth", "reply": "535 5.7.8 no"}, {"stage": "mail", "reply": "553 5.7.1 not yours"}):
        await tracking.fact(session_id, Fact.REFUSED, begun, **fact)
    for number, identifier in enumerate((first, second), 1):
        at = begun + timedelta(seconds=number)
        await tracking.message(identifier, Fact.ACCEPTED, first_at=at)
        await tracking.fact(identifier, Fact.ACCEPTED, at)
        await tracking.fact(session_id, Fact.REFUSED, at + timedelta(seconds=0.5), stage="auth", reply=f"535 {number}")
    shown = {
        identifier: [
            (event["stage"], event["reply"])
            for event in (await api.reader.get(f"{V1}/messages/{identifier}")).json()["events"]
            if event["message_id"] == session_id
        ]
        for identifier in (first, second, session_id)
    }
    assert shown == {
        first: [("auth", "535 5.7.8 no")],
        second: [("auth", "535 5.7.8 no"), ("auth", "535 1")],
        session_id: [("auth", "535 5.7.8 no"), ("mail", "553 5.7.1 not yours"), ("auth", "535 1"), ("auth", "535 2")],
    }


async def test_a_session_without_a_row_of_its_own_is_found_by_its_messages(api: Api, tracking: Tracking) -> None:
    identifier = tracking.new_id()
    await tracking.message(identifier, Fact.ACCEPTED)
    await tracking.fact(identifier, Fact.ACCEPTED)
    trace = (await api.reader.get(f"{V1}/messages/{session_of(identifier)}")).json()
    assert trace["id"] == session_of(identifier)
    assert len(trace["events"]) == 1


async def test_a_bounce_and_what_it_is_about_are_linked_both_ways(api: Api, tracking: Tracking) -> None:
    original, dsn = tracking.new_id(), tracking.new_id()
    await tracking.message(original, Fact.BOUNCED, direction="outbound")
    await tracking.message(dsn, Fact.DELIVERED, direction="bounce", reverse_path="")
    await tracking.fact(original, Fact.BOUNCED, service="domains", stage="bounce", related=dsn)
    await tracking.fact(dsn, Fact.DELIVERED, service="domains", stage="delivery")
    about = (await api.reader.get(f"{V1}/messages/{original}")).json()["related"]
    assert about == [{"id": dsn, "relation": "bounce", "status": "delivered"}]
    about = (await api.reader.get(f"{V1}/messages/{dsn}")).json()["related"]
    assert about == [{"id": original, "relation": "original", "status": "bounced"}]


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


async def test_messages_with_many_facts_take_no_recipients_from_the_others(api: Api, tracking: Tracking) -> None:
    refused = [f"no{number:03}@local.test" for number in range(MOST_FACTS_IN_LIST + 1)]
    identifiers = [tracking.new_id() for _ in range(MOST_FACTS // MOST_FACTS_IN_LIST + 2)]
    for identifier in identifiers:
        api.clock.advance(timedelta(seconds=1))
        await tracking.message(identifier, Fact.REFUSED)
        await tracking.refused(identifier, refused)
    listed = (await api.reader.get(f"{V1}/messages")).json()["items"]
    assert [item["id"] for item in listed] == identifiers[::-1]
    for item in listed:
        assert (item["recipients"], item["recipients_truncated"]) == (refused[:MOST_FACTS_IN_LIST], True)


async def test_the_recipients_that_were_accepted_are_listed_before_all_that_were_refused(
    api: Api, tracking: Tracking
) -> None:
    identifier = tracking.new_id()
    refused = [f"no{number:03}@local.test" for number in range(MOST_FACTS_IN_LIST)]
    await tracking.message(identifier, Fact.ACCEPTED)
    await tracking.refused(identifier, refused)
    await tracking.fact(identifier, Fact.ACCEPTED, api.clock.now() + timedelta(hours=1), recipients=("bob@local.test",))
    item = (await api.reader.get(f"{V1}/messages")).json()["items"][0]
    assert item["recipients"] == ["bob@local.test", *refused[:-1]]


async def test_messages_of_one_moment_are_each_listed_once(api: Api, tracking: Tracking) -> None:
    identifiers = [tracking.new_id() for _ in range(5)]
    for identifier in identifiers:
        await tracking.message(identifier, Fact.ACCEPTED, first_at=api.clock.now())
    assert await in_parts(api) == sorted(identifiers, reverse=True)


async def test_what_a_newer_release_has_recorded_is_shown_as_far_as_it_is_known(api: Api, tracking: Tracking) -> None:
    identifier = tracking.new_id()
    await tracking.message(identifier, Fact.ACCEPTED)
    async with api.parts.database.writing() as session:
        session.add(
            TrackedEvent(
                id="new",
                message_id=identifier,
                at=api.clock.now(),
                fact="archived",
                service="archive",
                body={"stage": "archive", "shelf": 7, "findings": [{"check": "new", "result": "ok", "colour": "red"}]},
            )
        )
    trace = (await api.reader.get(f"{V1}/messages/{identifier}")).json()
    assert trace["events"][0]["fact"] == "archived"
    assert trace["events"][0]["findings"][0]["check"] == "new"


async def test_an_unknown_id_says_what_an_id_looks_like(api: Api) -> None:
    for identifier in (message_id_of(new_session_id(api.clock.now()), 1), new_session_id(api.clock.now()), "what"):
        answer = await api.reader.get(f"{V1}/messages/{identifier}")
        assert answer.status_code == 404
        assert "1k3v9q2m8f0abcde.1" in answer.json()["detail"]
