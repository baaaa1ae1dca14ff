"""Messages through the API: listed, and shown with every fact."""

from datetime import timedelta
from typing import Any

import pytest

from admin_api import Api
from admin_tracking import Tracking
from tripost_admin_api.api.trace import CAUSAL_ORDER, MOST_FACTS, MOST_FACTS_IN_LIST
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Finding
from tripost_shared.database.models import TrackedEvent
from tripost_shared.mail.identifier import message_id_of, new_session_id, session_of
from tripost_shared.mail.reply import SmtpReply

V1 = "/api/v1"


@pytest.fixture
def tracking(api: Api) -> Tracking:
    return Tracking(api)


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
