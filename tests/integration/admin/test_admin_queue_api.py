"""The queue through the API: what waits, and what an operator does with it."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from admin_api import Api
from admin_queue import V1, queued, states
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.mail.identifier import message_id_of, new_session_id


async def test_the_queue_is_listed_oldest_first_and_filtered(api: Api) -> None:
    first = await queued(api, ("bob@b.example", "deferred"), ("Cat@c.example", "held"))
    second = await queued(api, ("bob@b.example", "deferred"), reverse_path="")
    listed = (await api.reader.get(V1)).json()["items"]
    assert [item["id"] for item in listed] == [first, second]
    assert listed[0]["deliveries_total"] == 2
    assert listed[0]["deliveries"][0]["last_reply"] == "451 4.3.0 later"
    for query, wanted in (
        ({"state": "held"}, [first]),
        ({"sender": "ANN@a.example"}, [first]),
        ({"sender": "<>"}, [second]),
        ({"recipient": "cat@C.example"}, [first]),
        ({"domain": "b.example"}, [first, second]),
        ({"domain": "example"}, []),
        ({"next_hop": "mx of c.example"}, [first]),
        ({"state": "held", "domain": "b.example"}, []),
    ):
        found = (await api.reader.get(V1, params=query)).json()["items"]
        assert [item["id"] for item in found] == wanted, query


async def test_a_long_session_is_listed_by_time_over_all_parts_of_the_list(api: Api) -> None:
    """As text, its tenth message's id would stand before its second one's."""
    session_id = new_session_id(api.clock.now())
    wanted = [
        await queued(api, ("bob@b.example", "deferred"), identifier=message_id_of(session_id, number))
        for number in range(1, 13)
    ]
    listed: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.reader.get(V1, params={"limit": 5, "cursor": cursor})).json()
        listed += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert listed == wanted


async def test_a_message_with_many_recipients_does_not_fill_the_list(api: Api) -> None:
    identifier = await queued(api, *((f"user{number}@b.example", "deferred") for number in range(30)))
    listed = (await api.reader.get(V1)).json()["items"][0]
    assert (len(listed["deliveries"]), listed["deliveries_total"]) == (20, 30)
    assert len((await api.reader.get(f"{V1}/{identifier}")).json()["deliveries"]) == 30


async def test_a_retry_makes_deferred_deliveries_due_now(api: Api) -> None:
    identifier = await queued(api, ("bob@b.example", "deferred"), ("cat@c.example", "held"))
    outcome = (await api.admin.post(f"{V1}/{identifier}/retry")).json()
    assert outcome["changed"] == ["bob@b.example"]
    assert outcome["skipped"][0]["recipient"] == "cat@c.example"
    async with api.parts.database.reading() as session:
        row = await session.scalar(select(QueuedDelivery).where(QueuedDelivery.recipient == "bob@b.example"))
        assert row is not None
        assert row.next_attempt_at == api.clock.now()


async def test_held_deliveries_wait_until_they_are_released(api: Api) -> None:
    identifier = await queued(api, ("bob@b.example", "deferred"), ("cat@c.example", "deferred"))
    held = await api.admin.post(f"{V1}/{identifier}/hold", json={"recipients": ["BOB@b.example"]})
    assert held.json()["changed"] == ["bob@b.example"]
    assert await states(api, identifier) == {"bob@b.example": "held", "cat@c.example": "deferred"}
    assert (await api.admin.post(f"{V1}/{identifier}/release")).json()["changed"] == ["bob@b.example"]
    assert await states(api, identifier) == {"bob@b.example": "deferred", "cat@c.example": "deferred"}


async def test_a_release_gives_a_delivery_its_whole_time_again(api: Api) -> None:
    """It would be given up at its first deferral otherwise; a retry changes nothing of that."""
    identifier = await queued(api, ("bob@b.example", "deferred"))
    came_in = api.clock.now()
    for operation, day, given_up_on_day in (
        ("retry", 3, 5),
        ("hold", 4, 5),
        ("release", 10, 15),
        ("hold", 12, 15),
        ("release", 20, 25),
    ):
        api.clock.advance(came_in + timedelta(days=day) - api.clock.now())
        assert (await api.admin.post(f"{V1}/{identifier}/{operation}")).status_code == 200
        (shown,) = (await api.reader.get(f"{V1}/{identifier}")).json()["deliveries"]
        assert datetime.fromisoformat(shown["expires_at"]) == came_in + timedelta(days=given_up_on_day), operation


async def test_the_last_delivery_dropped_takes_its_message_along(api: Api) -> None:
    identifier = await queued(api, ("bob@b.example", "deferred"), ("cat@c.example", "held"))
    await api.admin.post(f"{V1}/{identifier}/drop", json={"recipients": ["bob@b.example"]})
    assert await states(api, identifier) == {"cat@c.example": "held"}
    await api.admin.post(f"{V1}/{identifier}/drop")
    assert (await api.reader.get(f"{V1}/{identifier}")).status_code == 404
    assert [entry["action"] for entry in await api.audited()] == ["queue.drop", "queue.drop"]


@pytest.mark.parametrize("operation", ["retry", "hold", "release", "drop"])
async def test_a_delivery_that_is_being_attempted_is_left_alone(api: Api, operation: str) -> None:
    later = api.clock.now() + timedelta(minutes=1)
    identifier = await queued(api, ("bob@b.example", "attempting"), claimed_by="worker", claimed_until=later)
    answer = await api.admin.post(f"{V1}/{identifier}/{operation}")
    assert answer.status_code == 409
    assert "being attempted" in answer.json()["detail"]
    assert await states(api, identifier) == {"bob@b.example": "attempting"}
    assert await api.audited() == []


async def test_a_claim_that_has_run_out_counts_as_none(api: Api) -> None:
    earlier = api.clock.now() - timedelta(seconds=1)
    identifier = await queued(api, ("bob@b.example", "attempting"), claimed_by="worker", claimed_until=earlier)
    assert (await api.admin.post(f"{V1}/{identifier}/hold")).status_code == 200
    assert await states(api, identifier) == {"bob@b.example": "held"}


@pytest.mark.parametrize("operations", [["retry"], ["hold", "release"], ["hold", "release", "hold", "release"]])
@pytest.mark.parametrize("claimed_by", [pytest.param("worker", id="run out"), pytest.param("", id="given back")])
async def test_what_may_have_been_delivered_stays_a_claim_by_nobody(
    api: Api, operations: list[str], claimed_by: str
) -> None:
    """Else domains would not ask the tracking what became of it, and the next hop would get the message twice."""
    earlier = api.clock.now() - timedelta(seconds=1)
    identifier = await queued(api, ("bob@b.example", "attempting"), claimed_by=claimed_by, claimed_until=earlier)
    for operation in operations:
        api.clock.advance(timedelta(minutes=1))
        assert (await api.admin.post(f"{V1}/{identifier}/{operation}")).status_code == 200
    async with api.parts.database.reading() as session:
        row = await session.scalar(select(QueuedDelivery).where(QueuedDelivery.message_id == identifier))
    assert row is not None
    assert (row.state, row.claimed_by, row.claimed_until) == ("attempting", "", api.clock.now())
    assert row.next_attempt_at == api.clock.now()


@pytest.mark.parametrize("operation", ["retry", "hold", "release", "drop"])
async def test_a_list_of_no_recipients_is_not_all_of_them(api: Api, operation: str) -> None:
    identifier = await queued(api, ("bob@b.example", "deferred"), ("cat@c.example", "held"))
    refused = await api.admin.post(f"{V1}/{identifier}/{operation}", json={"recipients": []})
    assert refused.status_code == 422, refused.text
    assert await states(api, identifier) == {"bob@b.example": "deferred", "cat@c.example": "held"}
    assert (await api.admin.post(f"{V1}/{identifier}/{operation}", json={})).status_code == 200


async def test_what_is_not_queued_or_no_recipient_is_told(api: Api) -> None:
    identifier = await queued(api, ("bob@b.example", "held"))
    assert (await api.admin.post(f"{V1}/{message_id_of(new_session_id(api.clock.now()), 1)}/retry")).status_code == 404
    answer = await api.admin.post(f"{V1}/{identifier}/retry", json={"recipients": ["no@b.example"]})
    assert (answer.status_code, answer.json()["detail"]) == (409, "The message has no such recipient.")
    answer = await api.admin.post(f"{V1}/{identifier}/retry")
    assert "release it" in answer.json()["detail"]
