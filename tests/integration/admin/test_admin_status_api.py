"""How the cluster does: what each instance says of itself, what waits, and what somebody should look at."""

from datetime import timedelta

import pytest

from admin_api import Api
from tripost_admin_api.api.parts import Parts
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.nodes import serve_status

V1 = "/api/v1"


async def all_tiers(api: Api, *troubles: str) -> None:
    for service in ("edge", "filter"):
        await serve_status(api.cluster.bus, service, lambda: True, clock=api.clock)
    await serve_status(api.cluster.bus, "domains", lambda: True, clock=api.clock, troubles=lambda: troubles)


async def test_a_cluster_that_is_well_has_no_problems(api: Api) -> None:
    await all_tiers(api)
    status = (await api.reader.get(f"{V1}/status")).json()
    assert status["problems"] == []
    assert status["queue"] == {"messages": 0, "deferred": 0, "held": 0, "attempting": 0, "oldest_received_at": None}


async def test_what_troubles_an_instance_is_a_problem_of_the_cluster(api: Api) -> None:
    troubles = ["spool: SPOOL_2 not trimmed for 7 min", "tracking waits: facts cannot be written now"]
    await all_tiers(api, *troubles)
    status = (await api.reader.get(f"{V1}/status")).json()
    (domains,) = [node for node in status["nodes"] if node["service"] == "domains"]
    assert domains["troubles"] == [
        "spool: SPOOL_2 not trimmed for 7 min",
        "tracking waits: facts cannot be written now",
    ]
    assert status["problems"] == [f"domains {domains['instance']}: {trouble}" for trouble in domains["troubles"]]


@pytest.mark.parametrize(("free", "said"), [(0, "is full"), (12 << 20, "has 12 MB left"), (47 << 20, "has 47 MB left")])
async def test_a_disk_that_is_short_of_room_is_the_first_problem(
    api: Api, parts: Parts, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    """What else is wrong may follow from it. It is one until there is as much as brings nats-server back."""
    await all_tiers(api, "tracking waits: facts cannot be written now")
    room = {parts.home: free}
    monkeypatch.setattr("tripost_admin_api.api.status.free_octets", room.__getitem__)
    first, *others = (await api.reader.get(f"{V1}/status")).json()["problems"]
    assert first == f"The disk of {parts.home} {said}: make room, or mail is answered with 451."
    assert len(others) == 1


async def test_a_folder_that_is_not_there_is_no_problem(api: Api, parts: Parts) -> None:
    """An admin-api in a container may have none."""
    await all_tiers(api)
    parts.home.rmdir()
    assert (await api.reader.get(f"{V1}/status")).json()["problems"] == []


@pytest.mark.parametrize("bound", [(512 << 20), None])
async def test_a_content_store_with_room_for_large_messages_or_not_made_yet_is_no_problem(
    api: Api, bound: int | None
) -> None:
    await all_tiers(api)
    api.cluster.content_octets = bound
    assert (await api.reader.get(f"{V1}/status")).json()["problems"] == []


async def test_a_content_store_that_was_made_small_is_a_problem_that_says_what_to_do(api: Api) -> None:
    """Its bound stays small after there is room again: the disk alone tells nothing of it."""
    await all_tiers(api)
    api.cluster.content_octets = 32 << 20
    (problem,) = (await api.reader.get(f"{V1}/status")).json()["problems"]
    assert problem.startswith("The content store may hold 32 MB, which is less than 512 MB: ")
    assert problem.endswith("make room, and restart nats-server.")


async def test_an_instance_that_is_not_ready_is_named(api: Api) -> None:
    await all_tiers(api)
    await serve_status(api.cluster.bus, "filter", lambda: False, clock=api.clock)
    (problem,) = (await api.reader.get(f"{V1}/status")).json()["problems"]
    assert problem.startswith("filter ")
    assert problem.endswith(" is not ready.")


async def test_the_queue_is_counted_by_state_with_its_oldest_message(api: Api) -> None:
    now = api.clock.now()
    async with api.parts.database.writing() as session:
        for number, state in enumerate((*DeliveryState, DeliveryState.HELD)):
            message_id = f"1k3v9q2m8f0abcde.{number + 1}"
            received_at = now - timedelta(hours=number)
            session.add(
                QueuedMessage(
                    id=message_id,
                    reverse_path="",
                    size_octets=1,
                    received_at=received_at,
                    content="x",
                    spooled=b"",
                )
            )
            await session.flush()
            session.add(
                QueuedDelivery(
                    message_id=message_id,
                    recipient="user@far.example",
                    next_hop="mx.far.example",
                    state=state.value,
                    attempts=1,
                    created_at=received_at,
                    next_attempt_at=now,
                    expires_at=now,
                )
            )
    queue = (await api.reader.get(f"{V1}/status")).json()["queue"]
    oldest = (now - timedelta(hours=3)).isoformat().replace("+00:00", "Z")
    assert queue == {"messages": 4, "deferred": 1, "held": 2, "attempting": 1, "oldest_received_at": oldest}
